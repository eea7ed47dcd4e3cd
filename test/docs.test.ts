import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ROOT } from '../stack/components.ts';
import {
  TEMPO,
  poll,
  queryLogMetrics,
  queryLogs,
  queryMetrics,
  type Sample,
} from '../stack/backends.ts';
import {
  pages,
  readPage,
  sameLines,
  sameText,
  type Block,
} from './docs-check.ts';
import { command, run, start } from './native-stack.ts';
import { temporaryFolder } from './temporary-folder.ts';

// `npm run docs:check`: every page, its commands and its queries, on a new native stack.

const read = pages().map((page) => ({ page, ...readPage(page) }));
const blocks = read.flatMap((page) => page.blocks);

describe('the pages', () => {
  for (const { page, problems } of read)
    it(`${page} says what the files say`, () =>
      assert.deepEqual(problems, [], problems.join('\n')));

  it('counts what was looked at', (t) => {
    const total: Record<string, number> = {};
    for (const { counts } of read)
      for (const [what, n] of Object.entries(counts))
        total[what] = (total[what] ?? 0) + n;
    for (const what of Object.keys(total).toSorted())
      t.diagnostic(`${String(total[what]).padStart(5)} ${what}`);
    t.diagnostic(
      `${String(blocks.length).padStart(5)} blocks in all, in ${read.length} pages`,
    );
  });
});

describe('the queries and commands of the pages', { concurrency: 1 }, () => {
  let hasTempo: boolean;

  // docs/queries.md gives the answers of a new stack after two tours.
  before(async () => {
    hasTempo = !(await start()).output.includes('Tempo stand-in');
    for (const _ of [1, 2]) {
      const { code, output } = await command('tour');
      assert.equal(code, 0, output);
    }
  });
  after(async () => {
    await command('stop');
  });

  blocks.forEach((block, i) => {
    if (block.kind === 'query' && block.needs !== 'own-service')
      it(title(block), async (t) => {
        if (block.needs === 'tempo' && !hasTempo)
          return t.skip('only Tempo itself answers this');
        await assertAnswer(block, blocks[i + 1]!.text);
      });
  });

  blocks.forEach((block, i) => {
    if (block.kind !== 'command') return;
    const next = blocks[i + 1];
    it(title(block), async () => {
      const { code, output } = await run(
        'bash',
        '-euo',
        'pipefail',
        '-c',
        block.text,
      );
      assert.equal(code, 0, output);
      if (next?.kind === 'output' && next.reason === undefined)
        assert.ok(
          sameText(next.text, output),
          `The page says:\n${next.text}\nThe output is:\n${output}`,
        );
    });
  });

  describe(
    'docs/own-service.md, done by the letter',
    { concurrency: 1 },
    () => {
      const folder = temporaryFolder();
      const app = join(folder, 'my-service');
      const env = {
        ...process.env,
        LGTM_STACK: ROOT,
        npm_config_prefer_offline: 'true', // what is in npm's cache already need not be asked for
      };
      let service: ChildProcess | undefined;

      /** Runs one of the chapter's commands in the new application. */
      const sh = (command: string, cwd = app) =>
        promisify(execFile)('bash', ['-euo', 'pipefail', '-c', command], {
          cwd,
          env,
        });

      // What `nest new my-service` runs once its questions are answered: npm, no observability, CJS.
      before(() =>
        sh(
          `'${ROOT}/node_modules/.bin/schematics' @nestjs/schematics:application --name=my-service --type=cjs --language=ts --strict --no-debug --no-dry-run --no-interactive`,
          folder,
        ),
      );
      after(() => service?.kill());

      /** One step of the chapter; none is tried after one that failed. */
      let failed = false;
      function step(name: string, work: () => Promise<unknown>): void {
        void it(name, { timeout: 180_000 }, async (t) => {
          if (failed) return t.skip('a step before it failed');
          failed = true;
          await work();
          failed = false;
        });
      }

      async function startService(text: string): Promise<void> {
        const exec = text.replace('node ', 'exec node '); // a signal then reaches node itself
        service = spawn('bash', ['-c', exec], {
          cwd: app,
          env,
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        for await (const line of createInterface({ input: service.stdout! }))
          if (line.includes('successfully started')) {
            service.stdout!.resume();
            return;
          }
        throw new Error('the new service ended before it was started');
      }

      blocks.forEach((block, i) => {
        if (block.kind === 'query' && block.needs === 'own-service')
          step(title(block), () => assertAnswer(block, blocks[i + 1]!.text));
        if (block.kind === 'own service')
          step(title(block), async () => {
            if (block.language !== 'sh')
              await writeFile(join(app, block.file!), `${block.text}\n`);
            else if (block.file === 'start') await startService(block.text);
            else await sh(block.text);
          });
      });

      step(
        'the service ends in order, and sends what it still has',
        async () => {
          const last = await fetch('http://localhost:5600', {
            headers: { connection: 'close' },
          });
          assert.equal(last.status, 200);
          service!.kill('SIGINT'); // Ctrl-C
          assert.deepEqual(await once(service!, 'exit'), [0, null]);
          const sent = await poll(async () => {
            const lines = await queryLogs(
              '{service_name="my-service"} |= "GET / 200"',
            );
            return lines.length >= 3 && lines.length;
          }, 30_000);
          assert.equal(sent, 3);
        },
      );
    },
  );
});

function title({ page, line, text }: Block): string {
  return `${page}:${line}: ${text}`;
}

/** Asks until the stores answer what the page says. */
async function assertAnswer(
  { language, text }: Block,
  expected: string,
): Promise<void> {
  let answer: string[] = [];
  await poll(async () => {
    answer = await ask(language, text);
    return sameLines(expected, answer);
  }, 30_000);
  assert.ok(
    sameLines(expected, answer),
    `The page says:\n${expected}\nThe answer is:\n${answer.join('\n')}`,
  );
}

/** The answer to a query as the pages write it: one line for each series, log line or trace. */
async function ask(language: string, query: string): Promise<string[]> {
  if (language === 'promql') return (await queryMetrics(query)).map(sampleLine);
  if (language === 'traceql') {
    const response = await fetch(
      `${TEMPO}/api/search?${new URLSearchParams({ q: query, limit: '100' }).toString()}`,
    );
    const text = await response.text();
    assert.ok(response.ok, text);
    const { traces } = JSON.parse(text) as {
      traces: { rootServiceName: string; rootTraceName: string }[];
    };
    return traces.map((t) => `${t.rootServiceName}  ${t.rootTraceName}`);
  }
  if (query.startsWith('{'))
    return (await queryLogs(query)).map(
      ({ line, labels }) => `${labels.detected_level}  ${line}`,
    );
  return (await queryLogMetrics(query)).map(sampleLine);
}

function sampleLine({ labels, value }: Sample): string {
  const pairs = Object.entries(labels).map(([k, v]) => `${k}="${v}"`);
  return `{${pairs.toSorted().join(', ')}}  ${value}`;
}
