import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Binary, Program } from '../cli/native/programs.ts';
import type { Progress } from '../cli/terminal.ts';

// Builds a program from a Go module in offline/go, where its release cannot be downloaded.

/** How one is built. */
interface Build {
  /** The folder below offline/go. */
  folder: string;
  /** The package to build. */
  package: string;
  /** Go's -ldflags -X: where the program keeps its version. */
  versionVariable?: string;
  tags?: string;
  /** A command that writes Go source before the build, and the folder it writes. */
  generate?: { command: string[]; folder: string };
  /** What is built, read from go.mod, where the pinned version does not exist as a module. */
  builtVersion?: RegExp;
}

const LOKI = {
  folder: 'loki',
  versionVariable: 'github.com/grafana/loki/v3/pkg/util/build.Version',
};
const MIMIR = {
  folder: 'mimir',
  // "of 2026-04-23": the day of the commit that the module names
  builtVersion: /grafana\/mimir v\S+?\.(\d{4})(\d\d)(\d\d)\d{6}-/,
};
const ALERTMANAGER = {
  folder: 'alertmanager',
  versionVariable: 'github.com/prometheus/common/version.Version',
};

/** By the name of the program. */
const BUILDS: Record<string, Build> = {
  loki: { ...LOKI, package: 'github.com/grafana/loki/v3/cmd/loki' },
  lokitool: { ...LOKI, package: 'github.com/grafana/loki/v3/cmd/lokitool' },
  mimir: { ...MIMIR, package: 'github.com/grafana/mimir/cmd/mimir' },
  mimirtool: { ...MIMIR, package: 'github.com/grafana/mimir/cmd/mimirtool' },
  // Of the Prometheus that Mimir is made with: it runs rules with the same PromQL.
  promtool: {
    ...MIMIR,
    package: 'github.com/prometheus/prometheus/cmd/promtool',
    tags: 'remove_all_sd',
  },
  alertmanager: { ...ALERTMANAGER, package: 'github.com/prometheus/alertmanager/cmd/alertmanager' },
  amtool: { ...ALERTMANAGER, package: 'github.com/prometheus/alertmanager/cmd/amtool' },
  k6: { folder: 'k6', package: 'go.k6.io/k6/v2' },
  'otelcol-contrib': {
    folder: 'otel-collector',
    package: '.',
    tags: 'remove_all_sd', // of Prometheus' service discoveries only the static one is used
    generate: {
      command: 'tool builder --config builder.yaml --skip-compilation --skip-get-modules'.split(
        ' ',
      ),
      folder: 'generated',
    },
  },
};

type Built = Omit<Binary, 'source'>;

/** A program that was built before; undefined when it has to be built, or cannot be. */
export async function findBuild(program: Program, cache: string): Promise<Built | undefined> {
  const made = await target(program, cache);
  return made && existsSync(made.file) ? made : undefined;
}

/**
 * Builds a program; undefined when there is no module for it.
 * @throws Error saying what is missing, or how the build failed
 */
export async function build(
  program: Program,
  cache: string,
  env: NodeJS.ProcessEnv,
  progress: Progress,
  stop: AbortSignal,
): Promise<Built | undefined> {
  const made = await target(program, cache);
  if (made) await inTurn(() => buildInto(made.folder, program, env, progress, stop));
  return made;
}

/** Where the program is once it is built. The folder's name holds what the build is made of: a changed module is built anew. */
async function target(
  { name, version }: Program,
  cache: string,
): Promise<(Built & { folder: string }) | undefined> {
  const build = BUILDS[name];
  if (!build) return undefined;
  const hash = createHash('sha256');
  let module = '';
  for (const file of ['go.mod', 'builder.yaml']) {
    const path = join(import.meta.dirname, 'go', build.folder, file);
    if (!existsSync(path)) continue;
    const text = await readFile(path, 'utf8');
    hash.update(text);
    module += text;
  }
  if (!build.builtVersion && !module.includes(version)) return undefined; // another version was asked for
  const [, ...day] = build.builtVersion?.exec(module) ?? [];
  const folder = join(cache, `${name}-${version}-${hash.digest('hex').slice(0, 8)}`);
  return {
    folder,
    file: join(folder, name),
    version: day.length > 0 ? `of ${day.join('-')}` : version,
  };
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

/**
 * Builds a program into `folder`. Go keeps what it has compiled,
 * so an interrupted build goes on where it was. Another checkout may build the same at the
 * same time: each works in a folder of its own, and the program appears when it is complete.
 */
async function buildInto(
  folder: string,
  program: Program,
  env: NodeJS.ProcessEnv,
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const source = await mkdtemp(join(folder, 'build-'));
  try {
    const built = await compile(program, source, env, progress, stop);
    await rename(built, join(folder, program.name));
  } finally {
    await rm(source, { recursive: true, force: true });
  }
}

/** Builds a program in `source`, an empty folder, and returns its path there. */
async function compile(
  { name, version }: Program,
  source: string,
  env: NodeJS.ProcessEnv,
  progress: Progress,
  stop: AbortSignal,
): Promise<string> {
  // A copy: generated source and Go's own changes to go.mod stay out of the repository.
  const module = BUILDS[name]!;
  const from = join(import.meta.dirname, 'go', module.folder);
  await cp(from, source, { recursive: true });
  let workFolder = source;
  progress('loading Go modules');
  if (module.generate) {
    await go(module.generate.command, source, env, stop, () => {});
    workFolder = join(source, module.generate.folder);
    for (const file of ['go.mod', 'go.sum']) await cp(join(source, file), join(workFolder, file));
  }
  const flags = ['-trimpath'].concat(module.tags ? ['-tags', module.tags] : []);
  const loading = countLines((n) => progress(`loading Go modules: ${n} so far`));
  const packages = await go(
    ['list', ...flags, '-deps', module.package],
    workFolder,
    env,
    stop,
    loading,
  );
  const total = packages.split('\n').length;
  const stamp = module.versionVariable ? ` -X ${module.versionVariable}=${version}` : '';
  const file = join(source, 'bin', name);
  const began = Date.now();
  const compiling = countLines((n) => {
    const minutes = ((Date.now() - began) / n) * ((total - n) / 60_000);
    progress(
      `compiling: ${n} of about ${total} Go packages, about ${Math.ceil(Math.max(minutes, 0))} min left`,
    );
  });
  await go(
    ['build', '-v', ...flags, `-ldflags=-s -w${stamp}`, '-o', file, module.package],
    workFolder,
    env,
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
  env: NodeJS.ProcessEnv,
  stop: AbortSignal,
  onMessage: (line: string) => void,
): Promise<string> {
  const child = spawn('go', args, {
    cwd,
    signal: stop,
    killSignal: 'SIGINT',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...env,
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
    throw new Error(`"go ${args[0]}" failed with code ${code}: ${messages.slice(-5).join(' | ')}`);
  return output.trim();
}
