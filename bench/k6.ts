import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { k6 } from '../cli/components/load-generator.ts';
import type { Context } from '../cli/context.ts';
import { baseEnvironment } from '../cli/native/process.ts';
import { obtainProgram } from '../cli/native/programs.ts';
import { ROOT } from '../cli/paths.ts';

/**
 * Runs a k6 script of this folder to its end, and answers what its summary prints.
 * @throws Error when it prints no JSON
 */
export async function runK6<T>(
  context: Context,
  script: string,
  variables: Record<string, string | number>,
): Promise<T> {
  const { file } = await obtainProgram(context, k6(context.settings));
  const text = Object.entries(variables).map(([name, value]) => [name, String(value)]);
  const child = spawn(file, ['run', '--quiet', '--no-usage-report', join(ROOT, 'bench', script)], {
    env: { ...baseEnvironment(process.env), ...Object.fromEntries(text) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  await once(child, 'close');
  return JSON.parse(output) as T;
}
