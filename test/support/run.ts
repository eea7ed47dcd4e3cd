import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ROOT } from '../../cli/paths.ts';

export interface Outcome {
  code: number | null;
  output: string;
}

/** Runs a program in the repository's folder to its end, with these variables over the shell's; 1 where there is none. */
export async function run(
  file: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = (await once(child, 'close').catch((error: Error) => {
    output += error.message;
    return [1];
  })) as [number | null];
  return { code, output };
}
