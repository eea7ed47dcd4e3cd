import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { commandLine } from '../../cli/native/ports.ts';
import { ROOT } from '../../cli/paths.ts';
import { NativeStack } from '../support/native-stack.ts';

// What the tests themselves may not do to the machine they run on.

describe('a test with a native stack', () => {
  it('leaves neither stack nor folder when Ctrl-C ends it', async () => {
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { spawn } from 'node:child_process';
         import { existsSync } from 'node:fs';
         import { NativeStack } from './test/support/native-stack.ts';
         const stack = await NativeStack.create();
         spawn(process.execPath, ['cli/native/supervisor.ts'], {
           detached: true,
           stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
         }).send({ folder: stack.folder, ports: {}, processes: [] });
         setInterval(() => {
           if (existsSync(stack.folder + '/run.json'))
             console.log(JSON.stringify({ folder: stack.folder, pid: stack.record().supervisor }));
         }, 50);`,
      ],
      { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [output] = (await once(child.stdout, 'data')) as [Buffer];
    const { folder, pid } = JSON.parse(output.toString().split('\n')[0]!) as {
      folder: string;
      pid: number;
    };
    assert.match((await commandLine(pid))!, /supervisor/);
    child.stdout.resume();
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.equal(code, 130);
    assert.ok(!(await commandLine(pid)));
    assert.equal(existsSync(folder), false);
  });

  it("does not reach the user's Docker", async () => {
    const stack = await NativeStack.create();
    const docker = join(stack.folder, 'docker');
    writeFileSync(docker, '#!/bin/sh\ncase "$DOCKER_HOST" in */no-docker.sock) exit 1;; esac\n');
    chmodSync(docker, 0o755);
    stack.env.PATH = `${stack.folder}:${stack.env.PATH}`;
    assert.match((await stack.stop()).output, /^The stack is not running\.$/m);
  });
});
