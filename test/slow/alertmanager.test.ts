import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { wait } from '../support/lesson.ts';
import { NativeStack } from '../support/native-stack.ts';
import { startWebhook } from '../support/webhook.ts';

describe('Alertmanager', { concurrency: 1 }, () => {
  interface Webhook {
    status: string;
    groupLabels: { alertname: string };
  }

  it('loses no notification when it is killed and started again', async () => {
    const stack = await NativeStack.create();
    // The place of the collector's webhook.
    const local = await startWebhook<Webhook>();
    const start = () => stack.startAlone('alertmanager', { 'otel-collector:8088': local.port });
    const told = () => local.messages.map((m) => `${m.status} ${m.groupLabels.alertname}`);
    /** As a ruler does it: every alert that fires, again and again. */
    const post = (alertname: string, endsAt = new Date(Date.now() + 240_000)) =>
      stack.stores.sendAlert({
        labels: { alertname, service_name: 'a', severity: 'warning' },
        endsAt,
      });
    const seen = (text: string) => wait(text, () => Promise.resolve(told().includes(text)));
    let alertmanager = await start();
    try {
      // Held back: the cause is told, what follows from it is not.
      await post('ServiceDown');
      await post('LatencyBudgetBurn');
      await seen('firing ServiceDown');
      await post('LogFlood');
      process.kill(alertmanager.pid!, 'SIGKILL'); // before LogFlood has waited for its group
      await alertmanager.whenEnded;
      alertmanager = await start();
      await post('ServiceDown');
      await post('LatencyBudgetBurn');
      await post('LogFlood');
      await seen('firing LogFlood');
      const [flood] = await stack.stores.queryAlerts('LogFlood');
      assert.equal(flood?.labels.service_name, 'a');
      assert.deepEqual(await stack.stores.queryAlerts('LatencyBudgetBurn'), []);

      await alertmanager.stop(); // as npm stop does
      alertmanager = await start();
      await post('ServiceDown', new Date());
      await post('LogFlood', new Date());
      await seen('resolved ServiceDown');
      await seen('resolved LogFlood');
      assert.ok(!told().includes('firing LatencyBudgetBurn'));
    } finally {
      await alertmanager.stop();
      local.close();
    }
  });
});
