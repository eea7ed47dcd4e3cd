import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ready } from './checks.ts';
import { components } from './components/index.ts';
import { commandLine } from './native/ports.ts';
import type { Settings } from './settings.ts';

/** What a native run says about itself, for the other verbs. */
export interface RunRecord {
  supervisor: number;
  /** Set when the run is over: why, in words. */
  ended?: string;
  /** Its ports on 127.0.0.1, by "name:inside": the name of a component and the number in its container. */
  ports: Record<string, number>;
  components: RunningComponent[];
}

export interface RunningComponent {
  name: string;
  title: string;
  version: string;
  /** How its program was had: "cache", "release" … */
  source: string;
  ready: Ready;
  pid: number;
  /** Milliseconds from the start of its process until it was ready. */
  readyAfter?: number;
  /** When it ended by itself (milliseconds since 1970), and how. */
  crashes?: { at: number; how: string }[];
  /** It has crashed too often, and is not started again. */
  down?: boolean;
}

/** For people: how often a component has crashed, and how the last time; empty when it has not. */
export function crashesOf({ crashes = [], down }: RunningComponent): string {
  const last = crashes.at(-1);
  if (!last) return '';
  const times = crashes.length === 1 ? 'once' : `${crashes.length} times`;
  return `${down ? 'stays down: ' : ''}crashed ${times}, last at ${new Date(last.at).toISOString()}: ${last.how}`;
}

/** Where a native run keeps its data, logs and rewritten configs. */
export class RunFolder {
  readonly path: string;
  readonly logs: string;

  constructor({ STACK_FOLDER }: Pick<Settings, 'STACK_FOLDER'>) {
    this.path = STACK_FOLDER;
    this.logs = join(STACK_FOLDER, 'logs');
  }

  data = (name: string): string => join(this.path, 'data', name);
  config = (name: string): string => join(this.path, 'config', name);
  log = (name: string): string => join(this.logs, `${name}.log`);
  /** What `npm run lesson` asks the supervisor for: variables that a component is started anew with. */
  wish = (): string => join(this.path, 'restart.json');
  private record = (): string => join(this.path, 'run.json');

  write(record: RunRecord): void {
    mkdirSync(this.path, { recursive: true });
    writeFileSync(`${this.record()}.new`, JSON.stringify(record, null, 2));
    renameSync(`${this.record()}.new`, this.record());
  }

  /** The newest native run, running or ended; undefined when there was none. */
  async newest(): Promise<RunRecord | undefined> {
    if (!existsSync(this.record())) return undefined;
    return JSON.parse(await readFile(this.record(), 'utf8')) as RunRecord;
  }

  /** The native run that is up now. */
  async running(): Promise<RunRecord | undefined> {
    const record = await this.newest();
    if (!record || record.ended) return undefined;
    const command = await commandLine(record.supervisor);
    return command.includes('supervisor.ts') ? record : undefined;
  }
}

/** The native run that is up now. */
export const runningNow = (settings: Settings): Promise<RunRecord | undefined> =>
  new RunFolder(settings).running();

/** The settings, with the ports of the native run that is up: only its `npm start` may have been given them. */
export async function settingsInUse(settings: Settings): Promise<Settings> {
  const run = await runningNow(settings);
  const used = { ...settings };
  for (const { name, ports } of components)
    for (const { inside, setting } of ports)
      if (setting) used[setting] = run?.ports[`${name}:${inside}`] ?? settings[setting];
  return used;
}
