import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Place } from '../cli/native/postgres.ts';

// In a container and in CI we may be root, as whom PostgreSQL refuses to run: it runs as "nobody", who
// sees neither programs nor data in a checkout below a private folder such as /root.

const user = { uid: 65534, gid: 65534 };

/** Where "nobody" has these programs and this data folder: there, or in a refuge. */
export async function reachable({ postgres, initdb, data }: Place): Promise<Place> {
  // Root of a user namespace without that user (`unshare -r`): there it only has to seem another one.
  const isMapped = (await readFile('/proc/self/uid_map', 'utf8'))
    .trim()
    .split('\n')
    .some((range) => {
      const [first, , count] = range.trim().split(/\s+/).map(Number);
      return first! <= user.uid && user.uid < first! + count!;
    });
  if (!isMapped) {
    const as = ['unshare', '--user', `--map-user=${user.uid}`, `--map-group=${user.gid}`, '--'];
    return { postgres, initdb, data, as };
  }
  if (!canReach(postgres)) {
    const copy = await refuge('postgresql');
    await cp(resolve(postgres, '../..'), copy, { recursive: true, verbatimSymlinks: true });
    [postgres, initdb] = [join(copy, 'bin/postgres'), join(copy, 'bin/initdb')];
  }
  if (!canReach(dirname(data))) {
    const hash = createHash('sha256').update(data).digest('hex');
    data = join(await refuge(hash.slice(0, 12)), basename(data));
  }
  return { postgres, initdb, data, user };
}

const canReach = (programOrFolder: string): boolean =>
  spawnSync('test', ['-x', programOrFolder], { ...user, cwd: '/' }).status === 0;

/** A folder in /var/tmp, where every user gets in and only root writes. */
async function refuge(name: string): Promise<string> {
  const folder = `/var/tmp/lgtm-stack-${name}`;
  await mkdir(folder, { recursive: true });
  if ((await stat(folder)).uid !== 0)
    throw new Error(`${folder} belongs to another user; remove it`);
  await chmod(folder, 0o755); // whatever the umask
  return folder;
}
