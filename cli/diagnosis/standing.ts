import { Compose } from '../compose/compose.ts';
import type { Context } from '../context.ts';
import { RunFolder, type RunRecord } from '../run.ts';

/** How the stack stands; `docker`: that it runs in containers, or would. */
export type Standing =
  | { how: 'native'; docker: false; run: RunRecord }
  | { how: 'containers'; docker: true }
  | {
      how: 'not running';
      docker: boolean;
      /** Containers are there, but none of them runs. */
      containers: boolean;
      /** How the last native run ended; undefined when there was none. */
      ended?: string;
    };

/** Looks how the stack stands. */
export async function standing(context: Context): Promise<Standing> {
  const folder = new RunFolder(context.settings);
  const run = await folder.running();
  if (run) return { how: 'native', docker: false, run };
  const compose = new Compose(context);
  const docker = await compose.answers().catch(() => false);
  if (docker && (await compose.runs())) return { how: 'containers', docker };
  const last = await folder.newest();
  return {
    how: 'not running',
    docker,
    containers: docker && (await compose.exists()),
    ended: last && (last.ended ?? 'without a word: its supervisor was killed'),
  };
}

/** For people: that it does not run, and how the last run ended. */
export const notRunning = (ended?: string): string =>
  `The stack is not running${ended ? `. It ended ${ended}` : '; it was never started here'}`;
