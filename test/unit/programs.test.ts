import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { after, before, beforeEach, describe, it } from 'node:test';
import { strToU8, zipSync } from 'fflate';
import { create } from 'tar';
import { component, programOf } from '../../cli/components/index.ts';
import { createContext } from '../../cli/context.ts';
import { obtainProgram, type Binary, type Program } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';
import { readSettings } from '../../cli/settings.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// The publisher here is a local HTTP server; the program is a two-line script.
const PROGRAM = '#!/bin/sh\necho "sample version 1.2.3"\n';

describe('obtainProgram', () => {
  let server: Server;
  let base: string;
  let folder: string;
  const files = new Map<string, Buffer>();
  const requests: string[] = [];
  /** Ends the connection in the middle of the next answer. */
  let breakNext = false;
  /** Archives are sent when so many are asked for. */
  let together = 1;
  const held: (() => void)[] = [];

  before(async () => {
    const work = temporaryFolder();
    await writeFile(join(work, 'sample'), PROGRAM);
    await create({ gzip: true, cwd: work, file: join(work, 's.tgz') }, ['sample']);
    files.set('/sample.tar.gz', await readFile(join(work, 's.tgz')));
    files.set(
      '/sample.zip',
      Buffer.from(zipSync({ 'in/sample': strToU8(PROGRAM), other: strToU8('x') })),
    );
    files.set('/sample', Buffer.from(PROGRAM));
    const sum = (file: string) => createHash('sha256').update(files.get(file)!).digest('hex');
    files.set(
      '/SHA256SUMS',
      Buffer.from(
        ['/sample.tar.gz', '/sample.zip']
          .map((file) => `${sum(file)}  ${file.slice(1)}\n`)
          .join(''),
      ),
    );
    files.set('/sample-sha-256', Buffer.from(`${sum('/sample')}\n`));
    files.set('/WRONG', Buffer.from(`${'0'.repeat(64)}  sample.tar.gz\n${'1'.repeat(64)}  x\n`));
    server = createServer((request, response) => {
      const path = request.url!;
      requests.push(path);
      const content = files.get(path);
      if (!content) return void response.writeHead(404).end();
      response.writeHead(200, { 'content-length': content.length });
      if (breakNext && !/SUMS|256/.test(path)) {
        breakNext = false;
        response.write(content.subarray(0, content.length / 2));
        // not at once: what is still on its way when a connection breaks is lost
        setTimeout(() => request.socket.end(), 300);
        return;
      }
      const send = () => response.end(content);
      if (/SUMS|256/.test(path)) return void send();
      held.push(send);
      if (held.length === together) for (const each of held.splice(0)) each();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());
  beforeEach(async () => {
    requests.length = 0;
    folder = temporaryFolder();
  });

  const sample = (archive: string, checksums = 'SHA256SUMS'): Program => ({
    title: 'Sample',
    name: 'sample',
    version: '1.2.3',
    setting: 'K6_BINARY',
    release: ({ name }) => ({
      url: `${base}/${archive}`,
      checksums: `${base}/${checksums}`,
      path: archive.endsWith('.zip') ? `in/${name}` : name,
    }),
  });
  const PATH = process.env.PATH!;
  const obtain = (program: Program, more: NodeJS.ProcessEnv = {}): Promise<Binary> => {
    const env = { PATH, XDG_CACHE_HOME: folder, ...more };
    return obtainProgram(createContext(env), program);
  };
  /** What is kept below XDG_CACHE_HOME. */
  const cached = () => readdir(join(folder, 'lgtm-stack'));
  const runs = ({ file }: Binary) => spawnSync(file, { encoding: 'utf8' }).stdout.trim();

  for (const archive of ['sample.tar.gz', 'sample.zip'])
    it(`downloads, checks and unpacks ${archive}, and finds it in the cache afterwards`, async () => {
      const first = await obtain(sample(archive));
      assert.equal(first.source, 'release');
      assert.equal(runs(first), 'sample version 1.2.3');
      assert.deepEqual(await cached(), ['sample-1.2.3']);

      requests.length = 0;
      assert.deepEqual(await obtain(sample(archive)), {
        file: first.file,
        version: '1.2.3',
        source: 'cache',
      });
      assert.deepEqual(requests, []);
    });

  it('takes a release that is the bare program, with a checksum file of its own', async () => {
    const binary = await obtain(sample('sample', 'sample-sha-256'));
    assert.equal(runs(binary), 'sample version 1.2.3');
  });

  it('refuses and deletes a download with a wrong checksum', async () => {
    await assert.rejects(obtain(sample('sample.tar.gz', 'WRONG')), {
      name: 'Error',
      message: `${base}/sample.tar.gz does not match its published checksum (${base}/WRONG) and was deleted. Run the command again; if it stays so, do not use this download.`,
    });
    assert.deepEqual(await cached(), []);
  });

  it('says what failed when the connection breaks, and downloads it anew the next time', async () => {
    breakNext = true;
    await assert.rejects(obtain(sample('sample.tar.gz')), {
      message: new RegExp(
        `^Sample 1\\.2\\.3 cannot be had: its release could not be downloaded \\(.+: ${base}/sample\\.tar\\.gz\\)$`,
      ),
    });
    assert.deepEqual(await cached(), []);
    assert.equal(runs(await obtain(sample('sample.tar.gz'))), 'sample version 1.2.3');
  });

  it('lets two processes download the same at once', async () => {
    together = 2;
    try {
      const env = JSON.stringify({ PATH, XDG_CACHE_HOME: folder });
      const release = { url: `${base}/sample.tar.gz`, checksums: 'SHA256SUMS', path: 'sample' };
      const code = `import { createContext } from ${JSON.stringify(join(ROOT, 'cli/context.ts'))};
        import { obtainProgram } from ${JSON.stringify(join(ROOT, 'cli/native/programs.ts'))};
        const sample = { title: 'Sample', name: 'sample', version: '1.2.3', release: () => (${JSON.stringify(release)}) };
        console.log(JSON.stringify(await obtainProgram(createContext(${env}), sample)));`;
      const args = ['--input-type=module', '-e', code];
      const both = await Promise.all([1, 2].map(() => promisify(execFile)(process.execPath, args)));
      for (const { stdout } of both) {
        const binary = JSON.parse(stdout.trim().split('\n').at(-1)!) as Binary; // after the progress
        assert.equal(binary.source, 'release');
        assert.equal(runs(binary), 'sample version 1.2.3');
      }
      assert.deepEqual(await cached(), ['sample-1.2.3']);
    } finally {
      together = 1;
    }
  });

  it('says so when the checksum file does not name the archive, and keeps nothing', async () => {
    files.set('/OTHER', Buffer.from(`${'0'.repeat(64)}  a\n${'1'.repeat(64)}  b\n`));
    await assert.rejects(obtain(sample('sample.tar.gz', 'OTHER')), {
      message: `Sample 1.2.3 cannot be had: its release could not be downloaded (${base}/OTHER has no checksum of sample.tar.gz: ${base}/sample.tar.gz)`,
    });
  });

  it('says so when there is no such release', async () => {
    await assert.rejects(obtain(sample('missing.zip', 'missing-sums')), {
      message: `Sample 1.2.3 cannot be had: its release could not be downloaded (${base}/missing-sums answered 404: ${base}/missing.zip)`,
    });
  });

  it('prefers the program that a setting names', async () => {
    const file = join(folder, 'mine');
    await writeFile(file, PROGRAM, { mode: 0o755 });
    assert.deepEqual(await obtain(sample('sample.zip'), { K6_BINARY: file }), {
      file,
      version: '',
      source: 'variable',
    });
    assert.deepEqual(requests, []);
  });

  it('refuses a program that a setting names and that cannot be run', async () => {
    await assert.rejects(obtain(sample('sample.zip'), { K6_BINARY: '/nowhere/sample' }), {
      message: 'K6_BINARY=/nowhere/sample cannot be run',
    });
  });

  it('says to install Go or Docker where a build is the only way left and Go is missing', async () => {
    const loki = programOf(component('loki'), readSettings({}))!;
    const nothing = { url: `${base}/x`, checksums: `${base}/x`, path: 'x' };
    await assert.rejects(obtain({ ...loki, release: () => nothing }, { PATH: '/nowhere' }), {
      message: /Install Go 1\.21 or newer .+, or Docker /,
    });
  });
});
