import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { whyDown } from './backends.ts';
import { ROOT } from './components.ts';
import { commandLine } from './processes.ts';

/** Where a native run keeps its data, logs and rewritten configs. STACK_FOLDER chooses another. */
const runFolder = resolve(process.env.STACK_FOLDER ?? join(ROOT, '.stack'));
export const dataFolder = (name: string) => join(runFolder, 'data', name);
export const configFolder = (name: string) => join(runFolder, 'config', name);
export const logFolder = join(runFolder, 'logs');
export const logFile = (name: string) => join(logFolder, `${name}.log`);

const recordFile = join(runFolder, 'run.json');

/** What a native run says about itself, for `npm run status`, `stop` and `tour`. */
export interface RunRecord {
  supervisor: number;
  /** Set when the run is over: why, in words. */
  ended?: string;
  components: RunningComponent[];
}

interface RunningComponent {
  name: string;
  title: string;
  version: string;
  /** How its program was had: "cache", "release" … */
  source: string;
  pid: number;
  /** Milliseconds from the start of its process until it was ready. */
  readyAfter?: number;
}

export function writeRecord(record: RunRecord): void {
  mkdirSync(runFolder, { recursive: true });
  writeFileSync(`${recordFile}.new`, JSON.stringify(record, null, 2));
  renameSync(`${recordFile}.new`, recordFile);
}

/** The newest native run, running or ended; undefined when there was none. */
export async function readRecord(): Promise<RunRecord | undefined> {
  if (!existsSync(recordFile)) return undefined;
  return JSON.parse(await readFile(recordFile, 'utf8')) as RunRecord;
}

/** The native run that is up now. */
export async function runningNow(): Promise<RunRecord | undefined> {
  const record = await readRecord();
  if (!record || record.ended) return undefined;
  const command = await commandLine(record.supervisor);
  return command?.includes('supervisor.ts') ? record : undefined;
}

/** @throws Error that says how to start the stack when the books service does not answer */
export async function requireService(): Promise<void> {
  const problem = await whyDown('backend-example');
  if (!problem) return;
  const last = (await runningNow()) ? undefined : await readRecord();
  throw new Error(
    `The books service is not ready: ${problem}.\nStart the stack with: npm start${last?.ended ? `\nThe last run ended ${last.ended}` : ''}`,
  );
}
