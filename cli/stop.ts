import { setTimeout as sleep } from 'node:timers/promises';
import { Compose } from './compose/compose.ts';
import type { Context } from './context.ts';
import { commandLine } from './native/ports.ts';
import { runningNow } from './run.ts';

/** `npm stop`: ends the stack, in whichever way it runs. */
export async function stop(context: Context): Promise<number> {
  const run = await runningNow(context.settings);
  const compose = new Compose(context);
  if (run) {
    process.kill(run.supervisor, 'SIGTERM');
    while (await commandLine(run.supervisor)) await sleep(100);
    const titles = run.components.map(({ title }) => title).join(', ');
    context.print(`Stopped: ${titles}. The data is kept.`);
  } else if (await compose.answers().catch(() => false)) await compose.down();
  else context.print('The stack is not running.');
  return 0;
}
