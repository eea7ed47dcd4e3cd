import { setTimeout as sleep } from 'node:timers/promises';

/** Requests to the books service at a steady pace, until `stop()`. */
export class Traffic {
  /** Requests per second; may be changed at any time. */
  pace: number;
  private running = true;
  private readonly ended: Promise<void>;

  constructor(books: string, pace: number, path = '/books/find?limit=5') {
    this.pace = pace;
    this.ended = this.run(books + path);
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.ended;
  }

  private async run(url: string): Promise<void> {
    const open = new Set<Promise<void>>();
    let due = 0;
    for (let last = Date.now(); this.running; await sleep(20)) {
      const now = Date.now();
      // What a slow service does not keep up with is not made up for: at most 20 calls at a time.
      due = Math.min(due + ((now - last) / 1000) * this.pace, 20);
      for (last = now; due >= 1 && open.size < 20; due--) {
        const call = fetch(url, { signal: AbortSignal.timeout(10_000) })
          .then((response) => response.arrayBuffer())
          .catch(() => undefined)
          .then(() => void open.delete(call));
        open.add(call);
      }
    }
    await Promise.all(open);
  }
}
