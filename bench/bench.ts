/** What a benchmark is told. */
export interface Options {
  rounds: number;
  /** How long each load lasts. */
  seconds: number;
  progress: (what: string) => void;
  /** Only these variants, where the benchmark has some. */
  variants?: string[];
}

/** One chapter of RESULTS.md. */
export interface Bench {
  title: string;
  /** Answers Markdown. */
  run: (options: Options) => Promise<string>;
}
