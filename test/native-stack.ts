import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../stack/components.ts';
import type { RunRecord } from '../stack/run-folder.ts';
import { temporaryFolder } from './temporary-folder.ts';

export interface Outcome {
  code: number | null;
  /** What it wrote to stdout and stderr. */
  output: string;
}

/** A native stack with data of its own, run by the commands that people use. */
export function nativeStack() {
  const folder = temporaryFolder();
  const env = { ...process.env, STACK_FOLDER: folder };

  /** Runs a program to its end. */
  async function run(
    file: string,
    args: string[],
    cwd = ROOT,
  ): Promise<Outcome> {
    const child = spawn(file, args, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output };
  }

  /** Runs `node stack/<name>.ts` as npm would. */
  const command = (name: string, ...args: string[]): Promise<Outcome> =>
    run(process.execPath, [join(ROOT, 'stack', `${name}.ts`), ...args]);

  async function start(): Promise<Outcome> {
    const outcome = await command('start', '--native');
    assert.equal(outcome.code, 0, outcome.output);
    return outcome;
  }

  const record = (): RunRecord =>
    JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8'));

  return { folder, env, run, command, start, record };
}
