import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { poll } from '../../cli/checks.ts';
import { components } from '../../cli/components/index.ts';
import { pages, readPage, sameLines, sameText, type Block } from './pages.ts';
import type { TestedStack } from './signals.ts';
import type { TestedStores } from './stores.ts';

/**
 * Registers a test for each query and each command that is run of the pages.
 * The stack is to be new, after two tours: that is what the answers in docs/queries.md are of.
 */
export function itAnswersPages(stack: () => TestedStack): void {
  const blocks = pages().flatMap((page) => readPage(page).blocks);

  describe('the queries of the pages', () => {
    blocks.forEach((block, i) => {
      if (block.mark === 'query' && block.value !== 'own-service')
        it(title(block), async (t) => {
          if (block.value === 'tempo' && !stack().hasTempo())
            return t.skip('only Tempo itself answers this');
          await assertAnswer(stack().stores, block, blocks[i + 1]!.text);
        });
    });
  });

  // After the queries: commands send requests, too, and change the answers.
  describe('the commands of the pages', () => {
    blocks.forEach((block, i) => {
      if (block.mark !== 'run') return;
      const next = blocks[i + 1];
      it(title(block), async () => {
        const text = atPortsOf(stack(), block.text);
        const { code, output } = await stack().run('bash', '-euo', 'pipefail', '-c', text);
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

/** The text with the ports of this stack in the place of the usual ones, which the pages name. */
const atPortsOf = (stack: TestedStack, text: string): string =>
  text.replace(/\blocalhost:(\d+)/g, (all: string, number) => {
    // a published one first: the collector's 4317, not Tempo's
    const found = components
      .flatMap(({ name, ports }) => ports.map((port) => ({ name, ...port })))
      .toSorted((a, b) => Number(!a.setting) - Number(!b.setting))
      .find(({ inside }) => inside === Number(number));
    return found ? `localhost:${stack.ports()[`${found.name}:${found.inside}`]}` : all;
  });

/** Asks until the stores answer what the page says. */
export async function assertAnswer(
  stores: TestedStores,
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
async function ask(stores: TestedStores, language: string, query: string): Promise<string[]> {
  if (language === 'promql') return (await stores.queryMetrics(query)).map(sampleLine);
  if (language === 'traceql' && query.includes('} |'))
    return (await stores.queryTraceMetrics(query)).map(sampleLine);
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

function sampleLine({ labels, value }: { labels: Record<string, string>; value: number }): string {
  const pairs = Object.entries(labels).map(([k, v]) => `${k}="${v}"`);
  return `{${pairs.toSorted().join(', ')}}  ${value}`;
}
