import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What one request to the books service was answered. */
export interface Answer {
  status: number;
  contentType: string;
  traceId: string;
  /** When it was sent (milliseconds since 1970), and how long the whole answer took. */
  at: number;
  ms: number;
}

/** Requests to the books service at a steady pace, each remembered. */
export class Visitors {
  readonly answers: Answer[] = [];
  /** How often there was no answer, by what became of the connection. */
  readonly failed: Record<string, number> = {};
  private readonly agent = new Agent({ keepAlive: true });
  private readonly open = new Set<Promise<void>>();
  private readonly running: Promise<void>;
  private stopped = false;

  constructor(url: string, perSecond: number) {
    this.running = (async () => {
      for (let due = Date.now(); !this.stopped; due += 1000 / perSecond) {
        const visit: Promise<void> = this.visit(url).then(() => void this.open.delete(visit));
        this.open.add(visit);
        await sleep(Math.max(1, due - Date.now()));
      }
    })();
  }

  /** Ends them, and waits for the answers. */
  async stop(): Promise<this> {
    this.stopped = true;
    await this.running;
    await Promise.all(this.open);
    this.agent.destroy();
    return this;
  }

  private visit(url: string): Promise<void> {
    const at = Date.now();
    const began = performance.now();
    return new Promise((done) => {
      const { agent } = this;
      const sending = get(url, { agent, timeout: 10_000 });
      sending
        .on('response', (response) => {
          response.resume().on('close', () => {
            const { 'content-type': contentType = '', 'x-trace-id': traceId } = response.headers;
            if (response.complete)
              this.answers.push({
                status: response.statusCode!,
                contentType,
                traceId: String(traceId ?? ''),
                at,
                ms: performance.now() - began,
              });
            else this.fail('cut off');
            done();
          });
        })
        .on('timeout', () => sending.destroy(new Error('no answer within 10 s')))
        .on('error', (error: NodeJS.ErrnoException) => {
          this.fail(error.code ?? error.message);
          done();
        });
    });
  }

  private fail(why: string): void {
    this.failed[why] = (this.failed[why] ?? 0) + 1;
  }
}

/** The duration, in milliseconds, that `quantile` (0 to 1) of the answers do not exceed. */
export function quantile(answers: Answer[], quantile: number): number {
  const sorted = answers.map(({ ms }) => ms).toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * quantile) - 1)]!;
}
