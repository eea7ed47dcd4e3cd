import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import './global-setup';

export default async function teardown(): Promise<void> {
  const { postgres } = globalThis;
  if (!postgres) return;
  if (postgres.process.exitCode === null) {
    const exited = once(postgres.process, 'exit');
    postgres.process.kill('SIGTERM');
    await exited;
  }
  await rm(postgres.folder, { recursive: true, force: true });
}
