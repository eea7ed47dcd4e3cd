import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './support/free-port';

declare global {
  var postgres: { process: ChildProcess; folder: string } | undefined;
}

/** Starts a Postgres of its own for the run, unless TEST_DATABASE_URL names one. */
export default async function setup(): Promise<void> {
  if (process.env.TEST_DATABASE_URL) return;

  const script = join(__dirname, '../../test/support/postgres.ts');
  const folder = await mkdtemp(join(tmpdir(), 'backend-example-'));
  // Started by root, Postgres runs as another user and has to get in.
  await chmod(folder, 0o755);
  const postgres = spawn(
    process.execPath,
    [script, join(folder, 'data'), String(await freePort())],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  globalThis.postgres = { process: postgres, folder };
  process.once('exit', () => postgres.kill());

  process.env.TEST_DATABASE_URL = await new Promise((resolve, reject) => {
    createInterface(postgres.stdout).on('line', (line) => {
      if (line.startsWith('postgres://')) resolve(line);
    });
    postgres.once('error', reject);
    postgres.once('exit', (code) => {
      reject(new Error(`${script} exited with code ${code}`));
    });
  });
}
