import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { ROOT } from '../../cli/paths.ts';
import { run, type Outcome } from '../support/run.ts';

/** Runs `node cli/main.js <verb> …` to its end, with these variables over the shell's. */
export async function command(env: Record<string, string>, ...args: string[]): Promise<Outcome> {
  const { code, output } = await run(process.execPath, [join(ROOT, 'cli/main.js'), ...args], env);
  return { code, output: stripVTControlCharacters(output) };
}
