import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { poll, type Stores } from '../../cli/stores.ts';
import { pages, readPage, sameLines, sameText, type Block } from './pages.ts';

/** What the pages need of a stack that runs. */
export interface RunningStack {
  /** Whether Tempo itself runs, and not its stand-in. */
  hasTempo: () => boolean;
  stores: Stores;
  /** Runs a program in the repository's folder, as the commands of this stack. */
  run(
    file: string,
    ...args: string[]
  ): Promise<{ code: number | null; output: string }>;
  /** Where the collector takes OTLP over HTTP. */
  otlpHttpPort: () => number;
}

/**
 * Registers a test for each query and each command that is run of the pages.
 * The stack is to be new, after two tours: that is what the answers in docs/queries.md are of.
 */
export function itAnswersPages(stack: RunningStack): void {
  const blocks = pages().flatMap((page) => readPage(page).blocks);

  describe('the queries of the pages', () => {
    blocks.forEach((block, i) => {
      if (block.mark === 'query' && block.value !== 'own-service')
        it(title(block), async (t) => {
          if (block.value === 'tempo' && !stack.hasTempo())
            return t.skip('only Tempo itself answers this');
          await assertAnswer(stack.stores, block, blocks[i + 1]!.text);
        });
    });
  });

  // After the queries: commands send requests, too, and change the answers.
  describe('the commands of the pages', () => {
    blocks.forEach((block, i) => {
      if (block.mark !== 'run') return;
      const next = blocks[i + 1];
      it(title(block), async () => {
        const { code, output } = await stack.run(
          'bash',
          '-euo',
          'pipefail',
          '-c',
          block.text,
        );
        assert.equal(code, 0, output);
        if (next?.mark === 'output' && !next.value)
          assert.ok(
            sameText(next.text, output),
            `The page says:\n${next.text}\nThe output is:\n${output}`,
          );
      });
    });
  });
}

/** The name of the test of a block: where it is, and what it says. */
export function title({ page, line, text }: Block): string {
  return `${page}:${line}: ${text}`;
}

/** Asks until the stores answer what the page says. */
export async function assertAnswer(
  stores: Stores,
  { language, text }: Block,
  expected: string,
): Promise<void> {
  let answer: string[] = [];
  await poll(async () => {
    answer = await ask(stores, language, text);
    return sameLines(expected, answer);
  }, 30_000);
  assert.ok(
    sameLines(expected, answer),
    `The page says:\n${expected}\nThe answer is:\n${answer.join('\n')}`,
  );
}

/** The answer to a query as the pages write it: one line for each series, log line or trace. */
async function ask(
  stores: Stores,
  language: string,
  query: string,
): Promise<string[]> {
  if (language === 'promql')
    return (await stores.queryMetrics(query)).map(sampleLine);
  if (language === 'traceql')
    return (await stores.search(query)).map(
      (trace) => `${trace.rootServiceName}  ${trace.rootTraceName}`,
    );
  if (query.startsWith('{'))
    return (await stores.queryLogs(query)).map(
      ({ line, labels }) => `${labels.detected_level}  ${line}`,
    );
  return (await stores.queryLogMetrics(query)).map(sampleLine);
}

function sampleLine({
  labels,
  value,
}: {
  labels: Record<string, string>;
  value: number;
}): string {
  const pairs = Object.entries(labels).map(([k, v]) => `${k}="${v}"`);
  return `{${pairs.toSorted().join(', ')}}  ${value}`;
}
