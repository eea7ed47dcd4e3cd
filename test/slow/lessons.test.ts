import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { beginLesson } from '../support/lesson.ts';
import { NativeStack } from '../support/native-stack.ts';

// Lessons on a stack from plain `npm start`: nothing has to be typed beforehand.

describe('npm run lesson', { concurrency: 1 }, () => {
  let stack: NativeStack;
  const began = Date.now();
  const faults = async () => (await fetch(`${stack.stores.books}/faults`)).status;

  before(async () => {
    stack = await NativeStack.create();
    await stack.start();
  });
  after(() => stack.stop());

  it('slow-query starts the service with faults, sees the alert come and end, and takes the faults away', async () => {
    assert.equal(await faults(), 404);
    const output = await beginLesson(stack, 'slow-query').succeeds();
    assert.match(
      output,
      /^ {2}firing LatencyBudgetBurn backend-example is slow: [\d.]+% of its requests take longer than 250 ms$/m,
    );
    assert.match(output, /^ {2}resolved LatencyBudgetBurn /m);
    assert.equal(await faults(), 404);
    const { code, output: status } = await stack.command('status');
    assert.equal(code, 0);
    assert.match(status, /^Books service +\S+ +ready /m);
  });

  it('is repaired by Ctrl-C: the service is started anew without faults', async () => {
    const lesson = beginLesson(stack, 'error-burst');
    await lesson.prints('2. Wait for the alert');
    assert.equal(await faults(), 200);
    assert.equal(await lesson.interrupt(), 130);
    assert.equal(await faults(), 404);
  });

  it('collector-down is told by Alertmanager meanwhile and in Loki afterwards', async () => {
    const output = await beginLesson(stack, 'collector-down').succeeds();
    assert.match(output, /^No telemetry arrives: /m);
    for (const status of ['firing', 'resolved'] as const) {
      const [line] = await stack.stores.notifications('NoTelemetry', began, status);
      assert.equal(line?.labels.affected_service, 'otel-collector', status);
    }
  });
});
