import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import {
  access,
  chmod,
  constants,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { availableParallelism, homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { unzipSync } from 'fflate';
import { extract } from 'tar';
import { ROOT, type GoModule, type Program } from './components.ts';
import { reasonOf } from './processes.ts';

/** Tells people how far a long piece of work is: "12 of 140 MB"; an empty text when it is over. */
export type Progress = (text: string) => void;

export interface Binary {
  /** Absolute path of the program. */
  file: string;
  /** Empty where it is not known: of a program that its environment variable names. */
  version: string;
  source: 'variable' | 'path' | 'cache' | 'release' | 'build';
}

/** The program cannot be had on this machine; the message lists what was tried. */
export class NotAvailableError extends Error {}

/** For `.catch`: makes this error an answer, and only this one. */
export function notAvailable(error: unknown): NotAvailableError {
  if (error instanceof NotAvailableError) return error;
  throw error;
}

/** A download is not what its publisher says it is. Never ignored, never retried silently. */
class ChecksumError extends Error {}

/** `~/.cache/lgtm-stack`, or below XDG_CACHE_HOME. */
const cacheFolder = join(
  process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'),
  'lgtm-stack',
);

/**
 * Finds or makes the program of a component: the path in its environment variable, then PATH
 * (the pinned version only), the cache, the official release, and a build from its Go module.
 * @throws ChecksumError when a download does not match the publisher's checksum
 * @throws NotAvailableError when none of them has it
 */
export async function obtainBinary(
  { title, version, binary }: Program,
  progress: Progress = () => {},
  stop: AbortSignal = new AbortController().signal,
  cache: string = cacheFolder,
): Promise<Binary> {
  if (!binary)
    throw new NotAvailableError(`${title} has no program of its own`);
  const { program, variable, release, goModule } = binary;

  const named = process.env[variable];
  if (named) {
    const file = resolve(named);
    await access(file, constants.X_OK).catch(() => {
      throw new NotAvailableError(
        `${variable}=${named} is not a program that can be run`,
      );
    });
    return { file, version: '', source: 'variable' };
  }
  const onPath = findOnPath(program, version);
  if (onPath) return { file: onPath, version, source: 'path' };

  const tried: string[] = [];
  const built = goModule && join(await buildFolder(), program);
  const builtVersion = goModule?.version ?? version;
  if (built && existsSync(built))
    return { file: built, version: builtVersion, source: 'cache' };
  if (release) {
    const folder = join(cache, `${program}-${version}`);
    const file = join(folder, release.path);
    if (existsSync(file)) return { file, version, source: 'cache' };
    try {
      await downloadRelease(release, folder, progress, stop);
      return { file, version, source: 'release' };
    } catch (error) {
      if (error instanceof ChecksumError || stop.aborted) throw error;
      tried.push(
        `its release could not be downloaded (${reasonOf(error)}: ${release.url})`,
      );
    }
  } else tried.push('no release is known for this system');
  if (goModule) {
    try {
      const folder = await buildFolder();
      await inTurn(() =>
        buildGoModule(goModule, program, version, folder, progress, stop),
      );
      return { file: built!, version: builtVersion, source: 'build' };
    } catch (error) {
      if (stop.aborted) throw error;
      tried.push(reasonOf(error));
    }
  }
  throw new NotAvailableError(
    `${title} ${version} cannot be had: ${tried.join('; ')}`,
  );

  // The folder's name holds what the build is made of, so that a changed module is built anew.
  async function buildFolder(): Promise<string> {
    const hash = createHash('sha256');
    for (const name of ['go.mod', 'builder.yaml']) {
      const file = join(ROOT, 'stack/go', goModule!.folder, name);
      if (existsSync(file)) hash.update(await readFile(file));
    }
    return join(
      cache,
      `${program}-${version}-${hash.digest('hex').slice(0, 8)}`,
    );
  }
}

// Compiling uses every core by itself, so several builds at once only help a large machine.
let freeTurns = Math.max(1, Math.floor(availableParallelism() / 4));
const waiting: (() => void)[] = [];

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (freeTurns > 0) freeTurns--;
  else await new Promise<void>((go) => waiting.push(go));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else freeTurns++;
  }
}

function findOnPath(program: string, version: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(':').filter(Boolean);
  return folders
    .map((folder) => join(folder, program))
    .find((file) => {
      if (!existsSync(file)) return false;
      const answer = spawnSync(file, ['--version'], { encoding: 'utf8' });
      return `${answer.stdout}${answer.stderr}`.includes(version);
    });
}

/**
 * Downloads a release, compares it with the published checksum, and unpacks it into `folder`.
 * What was downloaded of an interrupted archive is kept and continued. Another process may download
 * the same at the same time: each works in a folder of its own, and who comes second finds it done.
 */
async function downloadRelease(
  release: { url: string; checksumUrl: string; path: string },
  folder: string,
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const checksum = await publishedChecksum(release, stop);
  const work = await mkdtemp(`${folder}.`);
  const archive = join(work, basename(release.url));
  const part = `${folder}.${basename(release.url)}.part`;
  try {
    await rename(part, archive).catch(() => {}); // nothing is left, or another process has it
    try {
      await download(release.url, archive, progress, stop);
    } catch (error) {
      await rename(archive, part).catch(() => {});
      throw error;
    }
    const hash = createHash('sha256');
    await pipeline(createReadStream(archive), hash);
    if (hash.digest('hex') !== checksum)
      throw new ChecksumError(
        `${release.url} does not match its published checksum (${release.checksumUrl}) and was deleted. Run the command again; if it stays so, do not use this download.`,
      );
    const unpacked = join(work, 'unpacked');
    await unpack(archive, release.path, unpacked);
    await chmod(join(unpacked, release.path), 0o755).catch(() => {
      throw new Error(`${release.url} holds no file ${release.path}`);
    });
    await rename(unpacked, folder).catch((error: unknown) => {
      if (!existsSync(join(folder, release.path))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Unpacks an archive, of which only the program at `path` is needed; or takes it for the program. */
async function unpack(
  archive: string,
  path: string,
  folder: string,
): Promise<void> {
  await mkdir(folder);
  if (archive.endsWith('.tar.gz'))
    await extract({ file: archive, cwd: folder });
  else if (archive.endsWith('.zip'))
    for (const [name, bytes] of Object.entries(
      unzipSync(await readFile(archive), {
        filter: ({ name }) => name === path,
      }),
    )) {
      await mkdir(join(folder, dirname(name)), { recursive: true });
      await writeFile(join(folder, name), bytes);
    }
  else await rename(archive, join(folder, path));
}

async function publishedChecksum(
  { url, checksumUrl }: { url: string; checksumUrl: string },
  stop: AbortSignal,
): Promise<string> {
  const text = await (await get(checksumUrl, stop)).text();
  const lines = text.trim().split('\n');
  const line =
    lines.find(
      (l) => l.trim().split(/\s+/)[1]?.replace(/^\*/, '') === basename(url),
    ) ?? (lines.length === 1 ? lines[0] : undefined);
  const checksum = /^[0-9a-f]{64}\b/.exec(line ?? '')?.[0];
  if (!checksum)
    throw new Error(`${checksumUrl} has no checksum of ${basename(url)}`);
  return checksum;
}

async function get(
  url: string,
  stop: AbortSignal,
  headers: Record<string, string> = {},
): Promise<Response> {
  const connected = new AbortController();
  const timer = setTimeout(
    () => connected.abort(new Error('no answer within 5 s')),
    5_000,
  );
  try {
    const response = await fetch(url, {
      headers,
      signal: AbortSignal.any([stop, connected.signal]),
    });
    if (!response.ok && response.status !== 416)
      throw new Error(`${url} answered ${response.status}`);
    return response;
  } finally {
    clearTimeout(timer);
  }
}

async function download(
  url: string,
  file: string,
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  const have = await stat(file).then(
    ({ size }) => size,
    () => 0,
  );
  const response = await get(
    url,
    stop,
    have > 0 ? { range: `bytes=${have}-` } : {},
  );
  // 416: we have all of it; 206: the rest follows; 200: the server begins again
  if (response.status === 416) return;
  const continued = response.status === 206;
  let done = continued ? have : 0;
  const total = done + Number(response.headers.get('content-length') ?? 0);
  const body = Readable.fromWeb(response.body!).on('data', (bytes: Buffer) => {
    done += bytes.length;
    progress(`downloading: ${megabytes(done)} of ${megabytes(total)} MB`);
  });
  await pipeline(
    body,
    createWriteStream(file, { flags: continued ? 'a' : 'w' }),
    { signal: stop },
  );
}

const megabytes = (bytes: number) => Math.round(bytes / 1e6);

/**
 * Builds a program from a module in stack/go into `folder`. Go keeps what it has compiled,
 * so an interrupted build goes on where it was. Another checkout may build the same at the
 * same time: each works in a folder of its own, and the program appears when it is complete.
 */
async function buildGoModule(
  module: GoModule,
  program: string,
  version: string,
  folder: string,
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const source = await mkdtemp(join(folder, 'build-'));
  try {
    const built = await compile(
      module,
      program,
      version,
      source,
      progress,
      stop,
    );
    await rename(built, join(folder, program));
  } finally {
    await rm(source, { recursive: true, force: true });
  }
}

/** Builds a program in `source`, an empty folder, and returns its path there. */
async function compile(
  module: GoModule,
  program: string,
  version: string,
  source: string,
  progress: Progress,
  stop: AbortSignal,
): Promise<string> {
  // A copy: generated source and Go's own changes to go.mod stay out of the repository.
  await cp(join(ROOT, 'stack/go', module.folder), source, { recursive: true });
  let workFolder = source;
  progress('loading Go modules');
  if (module.generate) {
    await go(module.generate.command, source, stop, () => {});
    workFolder = join(source, module.generate.folder);
    for (const file of ['go.mod', 'go.sum'])
      await cp(join(source, file), join(workFolder, file));
  }
  const flags = ['-trimpath'].concat(module.tags ? ['-tags', module.tags] : []);
  const loading = countLines((n) =>
    progress(`loading Go modules: ${n} so far`),
  );
  const packages = await go(
    ['list', ...flags, '-deps', module.package],
    workFolder,
    stop,
    loading,
  );
  const total = packages.split('\n').length;
  const stamp = module.versionVariable
    ? ` -X ${module.versionVariable}=${version}`
    : '';
  const file = join(source, 'bin', program);
  const began = Date.now();
  const compiling = countLines((n) => {
    const minutes = ((Date.now() - began) / n) * ((total - n) / 60_000);
    progress(
      `compiling: ${n} of about ${total} Go packages, about ${Math.ceil(Math.max(minutes, 0))} min left`,
    );
  });
  await go(
    [
      'build',
      '-v',
      ...flags,
      `-ldflags=-s -w${stamp}`,
      '-o',
      file,
      module.package,
    ],
    workFolder,
    stop,
    compiling,
  );
  return file;
}

function countLines(tell: (count: number) => void): (line: string) => void {
  let count = 0;
  return () => tell(++count);
}

/** Runs the go command and returns what it prints. `onMessage` gets each line of its error output. */
async function go(
  args: string[],
  cwd: string,
  stop: AbortSignal,
  onMessage: (line: string) => void,
): Promise<string> {
  const child = spawn('go', args, {
    cwd,
    signal: stop,
    killSignal: 'SIGINT',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      CGO_ENABLED: '0',
      GOTOOLCHAIN: 'auto', // a Go that is too old fetches the version in go.mod
      GOWORK: 'off',
      GOFLAGS: '-mod=readonly -buildvcs=false',
    },
  });
  const messages: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    messages.push(line);
    onMessage(line);
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      fail(
        error.code === 'ENOENT'
          ? new Error(
              'Go is not installed, so it cannot be built either. Install Go 1.21 or newer (https://go.dev/doc/install), or Docker (https://docs.docker.com/get-docker/)',
            )
          : error,
      ),
    );
    child.once('close', done);
  });
  if (code !== 0)
    throw new Error(
      `"go ${args[0]}" failed with code ${code}: ${messages.slice(-5).join(' | ')}`,
    );
  return output.trim();
}
