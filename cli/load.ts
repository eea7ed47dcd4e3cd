import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { k6, loadCommand } from './components/load-generator.ts';
import { Compose } from './compose/compose.ts';
import type { Context, Interrupted } from './context.ts';
import { requireService } from './diagnosis/diagnosis.ts';
import { obtainProgram } from './native/programs.ts';
import { UsageError, parseOptions } from './options.ts';
import { runningNow } from './run.ts';
import { SETTINGS, type Settings } from './settings.ts';

/**
 * `npm run load`: traffic against the running service, by k6. Where the stack runs in containers, k6
 * runs in one too. Its exit code is ours: 99 when more than 1 % of the answers were not as expected.
 */
export async function load(context: Context, args: string[]): Promise<number> {
  const settings = withOptions(context.settings, args);
  const stop = context.interrupted();
  await requireService(context);
  const compose = new Compose(context);
  const inDocker = !(await runningNow(settings)) && (await compose.answers());
  const tell = (text: string) => context.progress.update('k6', text);
  const program = inDocker ? undefined : await obtainProgram(context, k6(settings), tell, stop);
  context.progress.clear();
  stop.throwIfAborted();
  const { LOAD_RATE, LOAD_DURATION } = settings;
  const { args: script, env } = loadCommand(settings, context.env);
  const child = program
    ? spawn(program.file, script, { env, stdio: 'inherit' })
    : compose.load({ LOAD_RATE: String(LOAD_RATE), LOAD_DURATION });
  // Ctrl-C reaches k6 as well: it then ends early, with its summary.
  stop.addEventListener('abort', () => {
    const { signal } = stop.reason as Interrupted;
    if (signal !== 'SIGINT') child.kill(signal);
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

/** `--rate` and `--duration` win over the settings. */
function withOptions(settings: Settings, args: string[]): Settings {
  const { values } = parseOptions('npm run load', args, {
    rate: { type: 'string', purpose: 'requests per second, such as 20' },
    duration: { type: 'string', purpose: 'how long, such as 1m30s' },
  });
  const given = Object.entries(values).map(([name, value]) => {
    const setting = `LOAD_${name.toUpperCase()}` as 'LOAD_RATE' | 'LOAD_DURATION';
    try {
      return [setting, SETTINGS[setting].read(value)];
    } catch (error) {
      throw new UsageError(`--${name} is "${value}", but ${(error as Error).message}.`);
    }
  });
  return { ...settings, ...(Object.fromEntries(given) as Partial<Settings>) };
}
