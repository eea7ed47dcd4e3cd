import { execFile } from 'node:child_process';
import { existsSync, globSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  NotAvailableError,
  obtainBinary,
  type Binary,
  type Progress,
} from './binaries.ts';
import {
  ROOT,
  component,
  components,
  dockerOnlySettings,
  nativePorts,
  tempoStandIn,
  type Component,
} from './components.ts';
import { writeNativeConfig } from './native-config.ts';
import { databaseUrl, preparePostgres } from './postgres.ts';
import { portHolder, refuseBusyPorts, type Command } from './processes.ts';
import { configFolder, dataFolder } from './run-folder.ts';

/** One process of a native run. */
export interface PlannedProcess {
  name: string;
  title: string;
  /** Empty where it is not known. */
  version: string;
  source: Binary['source'] | 'npm' | 'stand-in';
  command: Command;
  /** Ready when this URL answers 2xx, or when something listens on this port. */
  ready: { url: string } | { port: number };
  /** The process that has to be ready before this one starts. */
  after?: string;
}

interface NativePlan {
  processes: PlannedProcess[];
  /** One sentence for each thing that is not as in Docker. */
  remarks: string[];
}

/**
 * Prepares a native run: programs, config files, database and the service's build.
 * Nothing is started.
 * @throws Error with one readable sentence when a port is taken or a needed program cannot be had
 */
export async function planNativeRun(
  progress: (name: string) => Progress,
  stop: AbortSignal,
): Promise<NativePlan> {
  const ownDatabase = !process.env.DATABASE_URL; // empty is as good as not set
  const wanted = components.filter((c) => ownDatabase || c.name !== 'postgres');
  const settings = dockerOnlySettings();
  if (settings.length > 0)
    throw new Error(
      `Without Docker, ports and versions are fixed: unset ${settings.join(', ')} (in your shell or in .env) and run the command again.`,
    );
  await refuseBusyPorts(nativePorts(wanted), portHolder);
  const binaries = await obtainBinaries(wanted, progress, stop);
  const remarks: string[] = [];
  const processes: PlannedProcess[] = [];
  for (const part of wanted) {
    if (part.name === 'postgres' || part.name === 'backend-example') continue;
    const found = binaries.get(part.name);
    if (found instanceof Error) {
      if (part.name === 'tempo') {
        remarks.push(
          `${found.message}. The ${tempoStandIn.title} takes its place: traces of this run, kept in memory.`,
        );
        processes.push({
          ...planned(tempoStandIn, {
            file: process.execPath,
            args: tempoStandIn.args({ config: '', data: '', program: '' }),
          }),
          source: 'stand-in',
        });
      } else if (part.name === 'grafana')
        remarks.push(
          `${found.message}. The stack runs without it; \`npm run tour\` shows the same data in the terminal.`,
        );
      else throw found;
      continue;
    }
    const folders = {
      config: configFolder(part.name),
      data: dataFolder(part.name),
      program: found!.file,
    };
    await mkdir(folders.data, { recursive: true });
    await writeNativeConfig(part, folders.config, folders.data);
    processes.push({
      ...planned(part, {
        file: found!.file,
        args: part.args(folders),
        cwd: folders.data,
      }),
      version: found!.version,
      source: found!.source,
    });
  }
  if (processes.some((p) => p.source === 'stand-in'))
    // Collector configs merge; the last one wins. It speaks OTLP/HTTP JSON to the stand-in instead of gRPC.
    processes
      .find((p) => p.name === 'otel-collector')!
      .command.args.push(
        '--config',
        join(ROOT, 'stack/tempo-stand-in-collector.yaml'),
      );
  const postgres = component('postgres');
  const port = postgres.ports[5432]!;
  if (ownDatabase)
    processes.push({
      ...planned(postgres, await preparePostgres(dataFolder('postgres'), port)),
      ready: { port },
      source: 'npm',
    });
  await buildService(progress('backend-example'), stop);
  const backend = component('backend-example');
  processes.push({
    ...planned(backend, {
      file: process.execPath,
      args: backend.args({ config: '', data: '', program: '' }),
      env: {
        ...backend.env,
        DATABASE_URL: process.env.DATABASE_URL || databaseUrl(port),
      },
      cwd: join(ROOT, 'backend-example'),
    }),
    source: 'npm',
    after: ownDatabase ? 'postgres' : undefined,
  });
  return { processes, remarks };
}

function planned(
  { name, title, version, readyUrl }: Component,
  command: Command,
): Omit<PlannedProcess, 'source'> {
  return { name, title, version, command, ready: { url: readyUrl ?? '' } };
}

/** The program of each component, or why it cannot be had. */
export async function obtainBinaries(
  wanted: Component[],
  progress: (name: string) => Progress,
  stop: AbortSignal,
): Promise<Map<string, Binary | NotAvailableError>> {
  const failed = new AbortController();
  const either = AbortSignal.any([stop, failed.signal]);
  const found = wanted
    .filter((part) => part.binary)
    .map(async (part): Promise<[string, Binary | NotAvailableError]> => {
      try {
        const tell = progress(part.name);
        return [part.name, await obtainBinary(part, tell, either)];
      } catch (error) {
        if (error instanceof NotAvailableError) return [part.name, error];
        failed.abort(); // the others need not go on
        throw error;
      } finally {
        progress(part.name)('');
      }
    });
  return new Map(await Promise.all(found));
}

// Only when a source file is newer than the build: a warm start is a matter of seconds.
async function buildService(
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  const folder = join(ROOT, 'backend-example');
  const built = join(folder, 'dist/main.js');
  const sources = globSync(['src/**/*.ts', '*.json'], { cwd: folder }).map(
    (file) => statSync(join(folder, file)).mtimeMs,
  );
  if (existsSync(built) && statSync(built).mtimeMs > Math.max(...sources))
    return;
  progress('building the service');
  const args = ['run', 'build', '-w', 'backend-example'];
  await promisify(execFile)('npm', args, { cwd: ROOT, signal: stop }).catch(
    ({ stdout, stderr }: { stdout: string; stderr: string }) => {
      stop.throwIfAborted();
      throw new Error(`The service does not compile:\n${stdout}${stderr}`);
    },
  );
}
