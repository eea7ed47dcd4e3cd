/** Tells people how far a long piece of work is: "12 of 140 MB"; an empty text when it is over. */
export type Progress = (text: string) => void;

/** One line at the bottom of the terminal that shows how far each running piece of work is. */
export class ProgressLine {
  private readonly parts = new Map<string, string>();
  private lastPrinted = 0;

  /** Shows `text` as the progress of `name`; an empty text takes it off the line. */
  update(name: string, text: string): void {
    if (text) this.parts.set(name, text);
    else this.parts.delete(name);
    const line = [...this.parts].map(([n, t]) => `${n}: ${t}`).join('  ·  ');
    if (process.stdout.isTTY)
      process.stdout.write(`\r\x1b[K${line.slice(0, (process.stdout.columns || 80) - 1)}`);
    else if (line && Date.now() - this.lastPrinted > 15_000) {
      // a log file gets a line now and then instead
      console.log(line);
      this.lastPrinted = Date.now();
    }
  }

  clear(): void {
    if (this.parts.size > 0 && process.stdout.isTTY) process.stdout.write('\r\x1b[K');
    this.parts.clear();
  }
}

/** 1234 ms → "1.2 s" */
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
