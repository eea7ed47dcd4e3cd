import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { ROOT } from './paths.ts';
import { readSettings, type Settings } from './settings.ts';
import { ProgressLine } from './terminal.ts';

/** Ctrl-C or its like came. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super('Stopped.');
    this.signal = signal;
  }
}

/** What a verb knows of the world. The tests make their own. */
export interface Context {
  settings: Settings;
  /** The variables of the shell and of .env, for docker, npm and go. The components do not get them. */
  env: NodeJS.ProcessEnv;
  /** Milliseconds since 1970. */
  now: () => number;
  fetch: typeof fetch;
  /** How many bytes may still be written below this folder. */
  freeBytes: (folder: string) => number;
  /** Prints a line for people. */
  print: (line?: string) => void;
  /** Prints what went wrong. */
  warn: (line: string) => void;
  progress: ProgressLine;
  /** From the first call on Ctrl-C and its like end nothing: they abort this signal, whose reason is an Interrupted. */
  interrupted: () => AbortSignal;
}

/**
 * The context of a command that a person runs: variables of the shell win over .env.
 * @throws Error that says which setting cannot be used
 */
export function createContext(shell: NodeJS.ProcessEnv = process.env): Context {
  const file = join(ROOT, '.env'); // there may be none
  const env = { ...(existsSync(file) && parseEnv(readFileSync(file, 'utf8'))), ...shell };
  let stop: AbortController | undefined;
  return {
    settings: readSettings(env),
    env,
    now: Date.now,
    fetch,
    freeBytes(folder) {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    },
    print: (line = '') => console.log(line),
    warn: (line) => console.error(line),
    progress: new ProgressLine(),
    interrupted() {
      if (stop) return stop.signal;
      const controller = (stop = new AbortController());
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
        process.on(signal, () => controller.abort(new Interrupted(signal)));
      return controller.signal;
    },
  };
}
