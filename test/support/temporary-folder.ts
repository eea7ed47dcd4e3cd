import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders: string[] = [];

/** A new folder that everybody may read and that is removed when this process ends. */
export function temporaryFolder(): string {
  if (folders.length === 0) removeAtTheEnd();
  const folder = mkdtempSync(join(tmpdir(), 'lgtm-stack-'));
  // PostgreSQL, started by root, runs as another user and has to get in.
  chmodSync(folder, 0o755);
  folders.push(folder);
  return folder;
}

function removeAtTheEnd(): void {
  process.once('exit', () => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  // A signal alone would end this process without its exit listeners.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => process.exit(130));
}
