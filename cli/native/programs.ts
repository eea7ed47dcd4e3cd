import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { reasonOf } from '../checks.ts';
import type { Context } from '../context.ts';
import type { BinarySetting } from '../settings.ts';
import type { Progress } from '../terminal.ts';
import { ChecksumError, downloadRelease, type Release } from './download.ts';

/** A program that somebody publishes. */
export interface Program {
  title: string;
  /** Its name on PATH, and in offline/build.ts. */
  name: string;
  version: string;
  /** The setting that names one to use instead. */
  setting?: BinarySetting;
  /**
   * With {name}, {version}, {os} and {arch} in place of those of this program and machine; `checksums`
   * is relative to `url`. Undefined where none is published.
   */
  release?: Release;
}

export interface Binary {
  /** Absolute path of the program. */
  file: string;
  /** Empty where it is not known: of a program that a setting names. */
  version: string;
  source: 'variable' | 'path' | 'cache' | 'release' | 'build';
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
      const tell = (text: string) => context.progress.update(program.title, text);
      try {
        return await obtainProgram(context, program, tell, stop);
      } catch (error) {
        if (error instanceof NotAvailableError) return error;
        failed.abort(); // the others need not go on
        throw error;
      } finally {
        tell('');
      }
    }),
  );
}

const cacheOf = (env: NodeJS.ProcessEnv): string =>
  join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'lgtm-stack');

/**
 * A program that is on this machine: the path in its setting, then PATH (the pinned version only), and
 * the cache, of a release or a build.
 * @throws NotAvailableError when its setting names something else
 */
export async function findProgram(
  { settings, env }: Pick<Context, 'settings' | 'env'>,
  program: Program,
): Promise<Binary | undefined> {
  const { name, version, setting } = program;
  const named = setting && settings[setting];
  if (named) {
    const file = resolve(named);
    await access(file, constants.X_OK).catch(() => {
      throw new NotAvailableError(`${setting}=${named} is not a program that can be run`);
    });
    return { file, version: '', source: 'variable' };
  }
  const onPath = findOnPath(name, version, env.PATH);
  if (onPath) return { file: onPath, version, source: 'path' };
  const release = releaseOf(program);
  const file = release && join(cacheOf(env), `${name}-${version}`, release.path);
  if (file && existsSync(file)) return { file, version, source: 'cache' };
  const built = await (await import('../../offline/build.ts')).findBuild(program, cacheOf(env));
  return built && { ...built, source: 'cache' };
}

/**
 * Finds a program, or else has its official release downloaded, and as the last resort builds it from its
 * Go module.
 * @throws ChecksumError when a download does not match the publisher's checksum
 * @throws NotAvailableError when none of them has it
 */
export async function obtainProgram(
  context: Pick<Context, 'settings' | 'env'>,
  program: Program,
  progress: Progress = () => {},
  stop: AbortSignal = new AbortController().signal,
): Promise<Binary> {
  const found = await findProgram(context, program);
  if (found) return found;
  const { title, name, version } = program;
  const cache = cacheOf(context.env);
  const release = releaseOf(program);
  const tried: string[] = [];
  if (release)
    try {
      const folder = join(cache, `${name}-${version}`);
      await downloadRelease(release, folder, progress, stop);
      return { file: join(folder, release.path), version, source: 'release' };
    } catch (error) {
      if (error instanceof ChecksumError || stop.aborted) throw error;
      tried.push(`its release could not be downloaded (${reasonOf(error)}: ${release.url})`);
    }
  else tried.push('no release is known for this system');
  try {
    const { build } = await import('../../offline/build.ts');
    const made = await build(program, cache, context.env, progress, stop);
    if (made) return { ...made, source: 'build' };
  } catch (error) {
    if (stop.aborted) throw error;
    tried.push(reasonOf(error));
  }
  throw new NotAvailableError(`${title} ${version} cannot be had: ${tried.join('; ')}`);
}

const findOnPath = (name: string, version: string, path = ''): string | undefined =>
  path
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find((file) => {
      if (!existsSync(file)) return false;
      const { stdout, stderr } = spawnSync(file, ['--version'], { encoding: 'utf8' });
      return `${stdout}${stderr}`.includes(version);
    });

function releaseOf({ name, version, release }: Program): Release | undefined {
  if (!release) return undefined;
  const arch = process.arch === 'x64' ? 'amd64' : process.arch; // as publishers call it
  const values: Record<string, string> = { name, version, os: process.platform, arch };
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, key: string) => values[key]!);
  const url = fill(release.url);
  const checksums = new URL(fill(release.checksums), url).href;
  return { url, checksums, path: fill(release.path) };
}
