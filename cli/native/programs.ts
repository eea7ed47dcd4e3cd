import { existsSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { reasonOf } from '../checks.ts';
import type { Context } from '../context.ts';
import type { BinarySetting } from '../settings.ts';
import type { Progress } from '../terminal.ts';
import { ChecksumError, downloadRelease, type Release } from './download.ts';

/** A program that somebody publishes. */
export interface Program {
  title: string;
  /** Its name, also in offline/build.ts. */
  name: string;
  version: string;
  /** The setting that names one to use instead. */
  setting?: BinarySetting;
  /** Where its release for this machine is. Undefined where none is published. */
  release?: (of: { name: string; version: string; os: string; arch: string }) => Release;
}

export interface Binary {
  /** Absolute path of the program. */
  file: string;
  /** Empty where it is not known: of a program that a setting names. */
  version: string;
  source: 'variable' | 'cache' | 'release' | 'build';
}

/** The program cannot be had on this machine; the message lists what was tried. */
export class NotAvailableError extends Error {}

/**
 * Obtains several programs at once, with progress shown; undefined stays so.
 * @returns what they are on this machine, or why they cannot be had, in the same order
 */
export async function obtainPrograms(
  context: Context,
  programs: (Program | undefined)[],
): Promise<(Binary | NotAvailableError | undefined)[]> {
  const failed = new AbortController();
  const stop = AbortSignal.any([context.interrupted(), failed.signal]);
  return Promise.all(
    programs.map(async (program) => {
      if (!program) return undefined;
      return obtainProgram(context, program, stop).catch((error: unknown) => {
        if (error instanceof NotAvailableError) return error;
        failed.abort(); // the others need not go on
        throw error;
      });
    }),
  );
}

const cacheOf = (env: NodeJS.ProcessEnv): string =>
  join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'lgtm-stack');

/** The release of a program for this machine, and where it is kept. */
function releaseOf({ name, version, release }: Program, env: NodeJS.ProcessEnv) {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch; // as publishers call it
  const found = release?.({ name, version, os: process.platform, arch });
  const folder = join(cacheOf(env), `${name}-${version}`);
  return found && { ...found, folder, file: join(folder, found.path) };
}

/**
 * A program that is on this machine: the path in its setting, then the cache, of a release or a build.
 * Whether the setting names a program is not checked.
 */
export async function findProgram(
  { settings, env }: Pick<Context, 'settings' | 'env'>,
  program: Program,
): Promise<Binary | undefined> {
  const { version, setting } = program;
  const named = setting && settings[setting];
  if (named) return { file: resolve(named), version: '', source: 'variable' };
  const file = releaseOf(program, env)?.file;
  if (file && existsSync(file)) return { file, version, source: 'cache' };
  const built = await (await import('../../offline/build.ts')).findBuild(program, cacheOf(env));
  return built && { ...built, source: 'cache' };
}

/**
 * Finds a program, or else has its official release downloaded, and as the last resort builds it from its
 * Go module.
 * @throws ChecksumError when a download does not match the publisher's checksum
 * @throws NotAvailableError when none of them has it, or when its setting names something else
 */
export async function obtainProgram(
  context: Pick<Context, 'settings' | 'env' | 'progress'>,
  program: Program,
  stop: AbortSignal = new AbortController().signal,
): Promise<Binary> {
  const found = await findProgram(context, program);
  if (found?.source === 'variable')
    await access(found.file, constants.X_OK).catch(() => {
      throw new NotAvailableError(`${program.setting}=${found.file} cannot be run`);
    });
  if (found) return found;
  const tell = (text: string) => context.progress.update(program.title, text);
  return fetchProgram(program, context.env, tell, stop).finally(() => tell(''));
}

async function fetchProgram(
  program: Program,
  env: NodeJS.ProcessEnv,
  progress: Progress,
  stop: AbortSignal,
): Promise<Binary> {
  const { title, version } = program;
  const tried: string[] = [];
  const release = releaseOf(program, env);
  if (release)
    try {
      await downloadRelease(release, release.folder, progress, stop);
      return { file: release.file, version, source: 'release' };
    } catch (error) {
      if (error instanceof ChecksumError || stop.aborted) throw error;
      tried.push(`its release could not be downloaded (${reasonOf(error)}: ${release.url})`);
    }
  else tried.push('no release is known for this system');
  try {
    const { build } = await import('../../offline/build.ts');
    const built = await build(program, cacheOf(env), env, progress, stop);
    if (built) return { ...built, source: 'build' };
  } catch (error) {
    if (stop.aborted) throw error;
    tried.push(reasonOf(error));
  }
  throw new NotAvailableError(`${title} ${version} cannot be had: ${tried.join('; ')}`);
}
