import { execa } from 'execa';
import { k6, loadCommand } from './components/load-generator.ts';
import { Compose } from './compose/compose.ts';
import type { Context, Interrupted } from './context.ts';
import { requireService } from './diagnosis/diagnosis.ts';
import { obtainProgram } from './native/programs.ts';
import { runningNow } from './run.ts';

/** What wins over the settings LOAD_RATE and LOAD_DURATION. */
interface LoadOptions {
  rate?: number;
  duration?: string;
}

/**
 * `npm run load`: traffic against the running service, by k6. Where the stack runs in containers, k6
 * runs in one too. Its exit code is ours: 99 when more than 1 % of the answers were not as expected.
 */
export async function load(context: Context, options: LoadOptions): Promise<number> {
  const { settings, progress } = context;
  const { rate = settings.LOAD_RATE, duration = settings.LOAD_DURATION } = options;
  const given = { LOAD_RATE: String(rate), LOAD_DURATION: duration };
  const stop = context.interrupted();
  await requireService(context);
  const compose = new Compose(context);
  const inDocker = !(await runningNow(settings)) && (await compose.answers());
  const program = inDocker ? undefined : await obtainProgram(context, k6(settings), stop);
  progress.clear();
  stop.throwIfAborted();
  const { args, env } = loadCommand(context, given);
  const child = program
    ? execa(program.file, args, { env, extendEnv: false, stdio: 'inherit', reject: false })
    : compose.load(given);
  // Ctrl-C reaches k6 as well: it then ends early, with its summary.
  stop.addEventListener('abort', () => {
    const { signal } = stop.reason as Interrupted;
    if (signal !== 'SIGINT') child.kill(signal);
  });
  return (await child).exitCode ?? 1;
}
