import { notReady } from './checks.ts';
import { Compose } from './compose/compose.ts';
import type { Context } from './context.ts';
import { roomOf } from './diagnosis/machine.ts';
import { notRunning, standing } from './diagnosis/standing.ts';
import { residentMegabytes } from './native/ports.ts';
import { RunFolder, crashesOf, type RunningComponent } from './run.ts';
import { seconds } from './terminal.ts';

/** `npm run status`: what runs, since when, with how much memory; 1 when the stack does not. */
export async function status(context: Context): Promise<number> {
  const now = await standing(context);
  if (now.how === 'native') {
    for (const part of now.run.components) context.print(await line(part));
    const { path, logs } = new RunFolder(context.settings);
    context.print(`\nLogs: ${logs}`);
    const { bad, text } = roomOf(context, path);
    if (bad) context.print(`The disk of ${path} ${text}.`);
    return 0;
  }
  if (now.how === 'containers' || now.containers) {
    await new Compose(context).printStatus();
    return 0;
  }
  context.print(notRunning(now.ended) + (now.ended ? '' : '. Start it: npm start'));
  return 1;
}

async function line(part: RunningComponent): Promise<string> {
  const { title, version, source, pid, ready, readyAfter, down } = part;
  const problem = await notReady(ready);
  const starting = readyAfter === undefined;
  return [
    title.padEnd(24),
    version.padEnd(14),
    (down ? 'DOWN' : starting ? 'starting' : problem ? 'NOT READY' : 'ready').padEnd(10),
    `${(await residentMegabytes(pid)) ?? '?'} MB`.padStart(7),
    (starting ? '' : `started in ${seconds(readyAfter)}`).padStart(17),
    `  pid ${pid}, from ${source}`,
    problem ?? '',
    crashesOf(part),
  ]
    .join(' ')
    .trimEnd();
}
