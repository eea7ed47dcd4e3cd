import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Calls `attempt` until it returns without throwing, for at most ten seconds; then fails with
 * its last error. For telemetry, which arrives when it is ready.
 */
export async function eventually<T>(attempt: () => T | Promise<T>): Promise<T> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() >= deadline) throw error;
      await sleep(50);
    }
  }
}
