import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { components } from '../../cli/components/index.ts';
import { ROOT } from '../../cli/paths.ts';
import { itAnswersPages } from '../support/live-pages.ts';
import { NativeStack } from '../support/native-stack.ts';
import { itFollowsOwnService } from '../support/own-service.ts';
import type { Outcome } from '../support/run.ts';
import { assertTour, booksCreated, itSendsSignals, traffic } from '../support/signals.ts';
import { terminalPicture, textOf, timeless } from '../support/terminal-picture.ts';

// One start of the whole native stack, as people start it: the tour, the pages, every signal.

describe('the native stack', { concurrency: 1 }, () => {
  let stack: NativeStack;
  let started: Outcome;
  let tour = '';

  before(async () => {
    stack = await NativeStack.create();
    started = await stack.start();
  });
  after(() => stack.stop());

  it('tells how long each component took and where the logs are', () => {
    for (const { name, title, readyAfter } of stack.record().components) {
      assert.ok(readyAfter! > 0, name);
      assert.match(
        started.output,
        new RegExp(`^  ${title}.* ready in +\\d+\\.\\d s   \\(\\w`, 'm'),
      );
      assert.ok(existsSync(join(stack.folder, 'logs', `${name}.log`)));
    }
    assert.match(started.output, /^All ready in \d+\.\d s\.$/m);
  });

  it('has every component, but for Grafana where it cannot be had', () => {
    const missing = components
      .map(({ name }) => name)
      .filter((name) => !stack.running().includes(name));
    assert.deepEqual(missing, /Grafana \S+ cannot be had/.test(started.output) ? ['grafana'] : []);
  });

  // docs/queries.md gives the answers of a new stack after two tours.
  it('npm run tour finds logs, trace and metrics of its own request, twice', async () => {
    const first = await stack.command('tour');
    assert.equal(first.code, 0, first.output);
    const counted = assertTour(first.output);
    const second = await stack.command('tour');
    assert.equal(second.code, 0, second.output);
    assertTour(second.output, counted);
    tour = second.output;
  });

  it('npm run tour looks as in its picture', () => {
    const picture = readFileSync(join(ROOT, 'docs/pictures/tour.svg'), 'utf8');
    const lines = (svg: string) =>
      textOf(svg).map((line) => timeless(line).replace('Tempo stand-in', 'Tempo').slice(0, 60));
    assert.deepEqual(
      lines(picture),
      lines(terminalPicture('npm run tour', tour)),
      'docs/pictures/tour.svg is older than the tour: npm run pictures -- tour',
    );
  });

  itAnswersPages(() => stack);
  describe('what the books service and the components send', { concurrency: 1 }, () => {
    let before_: number;
    let traces: Record<string, string>;
    before(async () => {
      before_ = await booksCreated(stack.stores);
      // Twice, with a flush of the connectors in between: rates need two points.
      await traffic(stack.stores);
      await sleep(6_000);
      traces = await traffic(stack.stores);
    });
    itSendsSignals(
      () => stack,
      () => ({ traces, before: before_ }),
    );
  });

  itFollowsOwnService(() => stack);

  it('npm run status lists every component as ready', async () => {
    const { code, output } = await stack.command('status');
    assert.equal(code, 0, output);
    const ready = output.split('\n').filter((line) => / ready /.test(line));
    assert.equal(ready.length, stack.running().length, output);
    assert.doesNotMatch(output, /NOT READY/);
  });

  it('npm start says that it is running already', async () => {
    const { code, output } = await stack.command('start', '--native');
    assert.equal(code, 0);
    assert.match(output, /^The stack is already running/);
  });
});
