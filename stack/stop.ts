import { setTimeout as sleep } from 'node:timers/promises';
import { composeDown, dockerAnswers } from './docker.ts';
import { commandLine } from './processes.ts';
import { runningNow } from './run-folder.ts';
import { fail } from './terminal.ts';

try {
  const run = await runningNow();
  if (run) {
    process.kill(run.supervisor, 'SIGTERM');
    while (await commandLine(run.supervisor)) await sleep(100);
    console.log(
      `Stopped: ${run.components.map(({ title }) => title).join(', ')}. The data is kept.`,
    );
  } else if (await dockerAnswers().catch(() => false)) await composeDown();
  else console.log('The stack is not running.');
} catch (error) {
  fail(error);
}
