import { styleText } from 'node:util';

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
      process.stdout.write(
        `\r\x1b[K${line.slice(0, (process.stdout.columns || 80) - 1)}`,
      );
    else if (line && Date.now() - this.lastPrinted > 15_000) {
      // a log file gets a line now and then instead
      console.log(line);
      this.lastPrinted = Date.now();
    }
  }

  clear(): void {
    if (this.parts.size > 0 && process.stdout.isTTY)
      process.stdout.write('\r\x1b[K');
    this.parts.clear();
  }
}

/** Prints what went wrong, for people, and makes the command end with code 1. */
export function fail(error: unknown): void {
  console.error(`\n${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

/** Prints the title of what comes next. */
export function heading(text: string): void {
  console.log(`\n${styleText('bold', text)}`);
}
