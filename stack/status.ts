import { component } from './components.ts';
import { composeExists, composeStatus, dockerAnswers } from './docker.ts';
import { postgresReady } from './postgres.ts';
import { httpReady, residentMegabytes } from './processes.ts';
import { logFolder, readRecord, runningNow } from './run-folder.ts';
import { fail } from './terminal.ts';

try {
  const run = await runningNow();
  if (run) {
    for (const {
      name,
      title,
      version,
      source,
      pid,
      readyAfter,
    } of run.components) {
      const { readyUrl, ports } = component(name);
      const check = readyUrl
        ? httpReady(readyUrl)
        : postgresReady(ports[5432]!);
      const problem = await check(AbortSignal.timeout(2_000));
      const starting = readyAfter === undefined;
      console.log(
        [
          title.padEnd(24),
          version.padEnd(14),
          (starting ? 'starting' : problem ? 'NOT READY' : 'ready').padEnd(10),
          `${(await residentMegabytes(pid)) ?? '?'} MB`.padStart(7),
          (starting
            ? ''
            : `started in ${(readyAfter / 1000).toFixed(1)} s`
          ).padStart(17),
          `  pid ${pid}, from ${source}`,
          problem ?? '',
        ].join(' '),
      );
    }
    console.log(`\nLogs: ${logFolder}`);
  } else if (
    (await dockerAnswers().catch(() => false)) &&
    (await composeExists())
  )
    await composeStatus();
  else {
    const last = await readRecord();
    console.log(
      last
        ? `The stack is not running. It ended ${last.ended ?? 'without a word: its supervisor was killed'}`
        : 'The stack is not running; it was never started here. npm start starts it.',
    );
    process.exitCode = 1;
  }
} catch (error) {
  fail(error);
}
