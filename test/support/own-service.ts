import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { poll } from '../../cli/checks.ts';
import { ROOT } from '../../cli/paths.ts';
import type { Span } from '../../cli/stores.ts';
import { assertAnswer, title } from './live-pages.ts';
import { readPage } from './pages.ts';
import { eventually, type TestedStack } from './signals.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A trace as the chapter draws it: a line per span, children below their parent. */
function treeOf(spans: Span[]): string[] {
  const below = (parent: string, depth: number): string[] =>
    spans
      .filter(({ parentSpanId }) => parentSpanId === parent)
      .flatMap(({ service, name, spanId }) => [
        `${service.padEnd(18)}${'  '.repeat(depth)}${name}`,
        ...below(spanId, depth + 1),
      ]);
  return below('', 0);
}

/** Registers tests that do what docs/own-service.md says, by the letter, in a new application. */
export function itFollowsOwnService(stack: () => TestedStack): void {
  describe('docs/own-service.md, done by the letter', () => {
    const { blocks } = readPage('docs/own-service.md');
    const folder = temporaryFolder();
    const app = join(folder, 'my-service');
    const env = () => ({
      ...process.env,
      LGTM_STACK: ROOT,
      npm_config_prefer_offline: 'true', // what is in npm's cache already need not be asked for
      // only where it is not the default, which the page relies on
      ...(stack().settings.OTLP_HTTP_PORT !== 4318 && {
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://localhost:${stack().settings.OTLP_HTTP_PORT}`,
      }),
      BOOKS_URL: stack().stores.books,
    });
    let service: ChildProcess | undefined;

    /** Runs one of the chapter's commands in the new application. */
    const sh = (command: string, cwd = app) =>
      promisify(execFile)('bash', ['-euo', 'pipefail', '-c', command], { cwd, env: env() });

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
      it(name, { timeout: 180_000 }, async (t) => {
        if (failed) return t.skip('a step before it failed');
        failed = true;
        await work();
        failed = false;
      });
    }

    /** Ctrl-C */
    async function endService(): Promise<void> {
      service!.kill('SIGINT');
      assert.deepEqual(await once(service!, 'exit'), [0, null]);
    }

    async function startService(text: string): Promise<void> {
      if (service) await endService();
      const exec = text.replace('node ', 'exec node '); // a signal then reaches node itself
      service = spawn('bash', ['-c', exec], {
        cwd: app,
        env: env(),
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
      if (block.mark === 'query' && block.value === 'own-service')
        step(title(block), () => assertAnswer(stack().stores, block, blocks[i + 1]!.text));
      if (block.mark === 'own')
        step(title(block), async () => {
          if (block.language !== 'sh') await writeFile(join(app, block.value), `${block.text}\n`);
          else if (block.value === 'start') await startService(block.text);
          else await sh(block.text);
        });
    });

    step('one trace has the spans of both services, as the chapter says', async () => {
      const response = await fetch('http://localhost:5600/shelf');
      const traceId = response.headers.get('x-trace-id')!;
      const { text } = blocks.find(({ value }) => value.endsWith('compares the trace with it'))!;
      let tree: string[] = [];
      await eventually(`the spans of trace ${traceId}`, async () => {
        tree = treeOf(await stack().stores.queryTrace(traceId));
        return tree.length === text.split('\n').length;
      });
      assert.deepEqual(tree, text.split('\n'));
    });

    step('the service ends in order, and sends what it still has', async () => {
      const last = await fetch('http://localhost:5600', { headers: { connection: 'close' } });
      assert.equal(last.status, 200);
      await endService();
      const sent = await poll(async () => {
        const lines = await stack().stores.queryLogs('{service_name="my-service"} |= "GET / 200"');
        return lines.length >= 3 && lines.length;
      }, 30_000);
      assert.equal(sent, 3);
    });
  });
}
