import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { poll } from '../../cli/checks.ts';
import { ROOT } from '../../cli/paths.ts';
import type { NativeStack } from './native-stack.ts';

/** Asks for up to five minutes. */
export async function wait<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  const answer = await poll(ask, 300_000);
  assert.ok(answer, `${what}: not seen within five minutes`);
  return answer;
}

/** Begins a lesson, as a person does. */
export function beginLesson({ env }: NativeStack, name: string) {
  const child = spawn(process.execPath, ['cli/main.js', 'lesson', name], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const ended = once(child, 'close') as Promise<[number | null]>;
  return {
    /** Resolves when this is in what it printed. */
    prints: (text: string) =>
      wait(`"${text}" in ${output}`, () => {
        assert.equal(child.exitCode ?? 0, 0, output);
        return Promise.resolve(output.includes(text));
      }),
    async succeeds() {
      const [code] = await ended;
      assert.equal(code, 0, output);
      return output;
    },
    /** Presses Ctrl-C, and answers the exit code. */
    async interrupt() {
      child.kill('SIGINT');
      return (await ended)[0];
    },
  };
}
