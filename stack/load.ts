import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { obtainBinary } from './binaries.ts';
import { loadGenerator } from './components.ts';
import { composeLoad, dockerAnswers } from './docker.ts';
import { requireService, runningNow } from './run-folder.ts';
import { ProgressLine, fail } from './terminal.ts';

// `npm run load`: traffic against the running service, by k6. Where the stack runs in containers,
// k6 runs in one too; its exit code is ours: 99 when more than 1 % of the answers were not as expected.

const stop = new AbortController();
let k6: ChildProcess | undefined;
// Once k6 runs, Ctrl-C reaches it as well: it then ends early, with its summary.
process.on('SIGINT', () => stop.abort());
for (const signal of ['SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    stop.abort();
    k6?.kill(signal);
  });

try {
  readOptions();
  await requireService();
  const inDocker = !(await runningNow()) && (await dockerAnswers());
  stop.signal.throwIfAborted();
  k6 = inDocker ? composeLoad() : await runHere();
  const [code] = (await once(k6, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
} catch (error) {
  fail(stop.signal.aborted ? 'Stopped.' : error);
}

/** `--rate` and `--duration` win over the variables of the same names, which books.js reads. */
function readOptions(): void {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { rate: text, duration: text } });
  if (values.rate) process.env.LOAD_RATE = values.rate;
  if (values.duration) process.env.LOAD_DURATION = values.duration;
  const { LOAD_RATE: rate, LOAD_DURATION: duration } = process.env;
  if (rate && !/^[1-9]\d{0,3}$/.test(rate))
    throw new Error(
      `The rate is a whole number of requests per second from 1 to 9999, not "${rate}": npm run load -- --rate 20`,
    );
  if (duration && !/^(\d+(ms|s|m|h))+$/.test(duration))
    throw new Error(
      `The duration is a number with ms, s, m or h, not "${duration}": npm run load -- --duration 1m30s`,
    );
}

async function runHere(): Promise<ChildProcess> {
  const line = new ProgressLine();
  const { file } = await obtainBinary(
    loadGenerator,
    (text) => line.update('k6', text),
    stop.signal,
  );
  line.clear();
  const args = loadGenerator.args({ config: '', data: '', program: file });
  const env = { ...process.env, ...loadGenerator.env };
  return spawn(file, args, { env, stdio: 'inherit' });
}
