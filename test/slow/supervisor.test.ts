import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { NativePlan, PlannedProcess } from '../../cli/native/plan.ts';
import { ROOT } from '../../cli/paths.ts';
import type { RunRecord } from '../../cli/run.ts';
import { eventually } from '../support/signals.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// The supervisor of a native run, with shell scripts in the place of components.

describe('the supervisor', { concurrency: true }, () => {
  /** What each script is ready by: a port of this test. */
  const server = createServer();
  let ready: { port: number };
  before(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    ready = { port: (server.address() as AddressInfo).port };
  });
  after(() => server.close());

  /** Starts one with these scripts, by name; answers its record and how to end it. */
  async function supervise(scripts: Record<string, string>, by = ready) {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'logs'));
    const processes = Object.entries(scripts).map(([name, script]): PlannedProcess => {
      const command = { file: 'sh', args: ['-c', script], cwd: folder, env: process.env };
      return { name, title: name, version: '1', source: 'npm', ready: by, command };
    });
    const child = spawn(process.execPath, [join(ROOT, 'cli/native/supervisor.ts')], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.send({ folder, ports: {}, processes } satisfies NativePlan);
    const messages: { type: string; reason?: string }[] = [];
    child.on('message', (message) => messages.push(message as { type: string }));
    const record = () => JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as RunRecord;
    const part = (name: string) => record().components.find((one) => one.name === name)!;
    return { child, messages, record, part, folder };
  }

  it('lets stay down what crashes again and again, and only that', async () => {
    const { child, part, folder } = await supervise({
      good: 'sleep 600',
      bad: 'echo once more; sleep 0.3; exit 3',
    });
    const { pid } = await eventually('the first record', async () => part('good'));
    await eventually('an end of it', async () => part('bad').down);
    assert.equal(part('bad').crashes!.length, 6);
    for (const { how } of part('bad').crashes!) assert.equal(how, 'exited with code 3');
    assert.equal(readFileSync(join(folder, 'logs/bad.log'), 'utf8'), 'once more\n'.repeat(6));
    assert.equal(part('good').pid, pid);
    assert.equal(part('good').crashes, undefined);
    child.kill();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('ends everything when a part ends before all is ready, and shows its first error and its last lines', async () => {
    const noise = Array.from({ length: 40 }, (_, n) => `echo line ${n}`).join('; ');
    const { child, messages } = await supervise(
      { broken: `echo 'level=error msg="the cause"'; ${noise}; exit 1`, slow: 'sleep 600' },
      { port: 1 }, // nothing listens there
    );
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 1);
    const { reason } = messages.find(({ type }) => type === 'ended')!;
    assert.match(
      reason!,
      /^broken exited with code 1\. .*broken\.log:\n {4}level=error msg="the cause"\n {4}…\n {4}line 20\n[^]*line 39$/,
    );
  });
});
