import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { freeBytes } from './checks.ts';
import { ROOT } from './paths.ts';
import { readSettings, type Settings } from './settings.ts';
import { ProgressLine } from './terminal.ts';

/** Ctrl-C or its like came. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals, message = 'Stopped.') {
    super(message);
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
  const env = { ...(existsSync(file) && readDotEnv(readFileSync(file, 'utf8'))), ...shell };
  let stop: AbortController | undefined;
  return {
    settings: readSettings(env),
    env,
    now: Date.now,
    fetch,
    freeBytes,
    print: (line = '') => console.log(line),
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

/** Values that Node and Compose read alike: plain, of which # and quotes are no part, or in single quotes. */
const ALIKE =
  /^\s*(?:export\s+)?\w+\s*=\s*(?:'[^']*[^'\\]'|''|(?:[^\s#$"'`\\\u00a0][^#$"`\\\u00a0]*)?)\s*(?: #.*)?$/;

/**
 * The variables in the text of a .env.
 * @throws Error naming the lines that Node and Compose would read differently
 */
export function readDotEnv(text: string): NodeJS.ProcessEnv {
  const plain = text.replace(/^\uFEFF/, '');
  const different = plain.split(/\r?\n/).flatMap((line, i) => {
    const isNothing = /^\s*(#.*)?$/.test(line);
    return isNothing || ALIKE.test(line) ? [] : [`line ${i + 1} (${line.split('=')[0]!.trim()})`];
  });
  if (different.length === 0) return parseEnv(plain);
  throw new Error(
    `Docker and the npm commands would read different values from .env: ${different.join(', ')}. Put a value with special characters in single quotes, NAME='…', without a single quote in it.`,
  );
}
