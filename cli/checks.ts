import { statfsSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a component is asked whether it is ready: this URL answers 2xx, or something listens on this port. */
export type Ready = { url: string } | { port: number };

/** Why it is not ready yet; undefined when it is. PostgreSQL opens its port last. */
export async function notReady(
  ready: Ready,
  signal = AbortSignal.timeout(3_000),
  ask = fetch,
): Promise<string | undefined> {
  if ('port' in ready)
    return (await isListening(ready.port)) ? undefined : `nothing listens on port ${ready.port}`;
  try {
    const response = await ask(ready.url, { signal });
    const body = (await response.text()).trim().slice(0, 200);
    return response.ok ? undefined : `${ready.url} answered ${response.status} ${body}`;
  } catch (error) {
    return `${ready.url} does not answer (${reasonOf(error)})`;
  }
}

/** What went wrong, with the cause that fetch hides behind "fetch failed". */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}

/** True when something listens on this port of 127.0.0.1 or [::1]: a browser may take either for localhost. */
export async function isListening(port: number): Promise<boolean> {
  const answers = ['127.0.0.1', '::1'].map(async (host) => {
    const socket = connect({ port, host });
    const connected = once(socket, 'connect', { signal: AbortSignal.timeout(1_000) });
    await connected.finally(() => socket.destroy());
  });
  return Promise.any(answers).then(
    () => true,
    () => false,
  );
}

/**
 * Calls `ask` until it answers something, and returns that; undefined when
 * `deadlineMs` passes first. An error counts as "not yet" until then.
 */
export async function poll<T>(
  ask: () => Promise<T | undefined | false>,
  deadlineMs: number,
  everyMs = 250,
): Promise<T | undefined> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const answer = await ask().catch((error) => {
      if (Date.now() >= deadline) throw error;
      return undefined;
    });
    if (answer) return answer;
    if (Date.now() >= deadline) return undefined;
    await sleep(everyMs);
  }
}

/** How many bytes may still be written below this folder. */
export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
