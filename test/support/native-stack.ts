import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isListening } from '../../cli/checks.ts';
import { component, components, programOf } from '../../cli/components/index.ts';
import { createContext, type Context } from '../../cli/context.ts';
import { prepare } from '../../cli/native/plan.ts';
import { choosePorts, publishedPorts } from '../../cli/native/ports.ts';
import { ManagedProcess } from '../../cli/native/process.ts';
import { obtainProgram } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';
import type { RunRecord } from '../../cli/run.ts';
import type { Settings } from '../../cli/settings.ts';
import { run, type Outcome } from './run.ts';
import type { TestedStack } from './signals.ts';
import { TestedStores } from './stores.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A native stack with data and ports of its own, started and stopped by the commands that people use. */
export class NativeStack implements TestedStack {
  /** Never the user's own: no Docker answers at this address, and no database is named. */
  readonly env: NodeJS.ProcessEnv;
  readonly context: Context;
  readonly stores: TestedStores;

  private constructor(settings: NodeJS.ProcessEnv) {
    const folder = temporaryFolder();
    this.env = {
      ...process.env,
      STACK_FOLDER: folder,
      DOCKER_HOST: `unix://${folder}/no-docker.sock`,
      DATABASE_URL: '',
      ...settings,
    };
    this.context = createContext(this.env);
    this.stores = new TestedStores(this.context);
    // After Ctrl-C, too; before the folder is removed.
    process.prependOnceListener('exit', () => {
      if (existsSync(join(this.folder, 'run.json')) && !this.record().ended)
        spawnSync(process.execPath, [MAIN, 'stop'], { env: this.env });
    });
  }

  /** Where it keeps its data, logs and rewritten configs. */
  get folder(): string {
    return this.settings.STACK_FOLDER;
  }

  get settings(): Settings {
    return this.context.settings;
  }

  /** One that is not started yet. */
  static async create(settings: NodeJS.ProcessEnv = {}): Promise<NativeStack> {
    return new NativeStack({ ...(await freePorts()), ...settings });
  }

  /** Runs a program in the repository's folder, as the commands of this stack, to its end. */
  run(file: string, ...args: string[]): Promise<Outcome> {
    return run(file, args, this.env);
  }

  /** Runs a verb as npm would, and answers what it printed. */
  command = (verb: string, ...args: string[]): Promise<Outcome> =>
    this.run(process.execPath, MAIN, verb, ...args);

  /** Starts it, and fails when it does not get ready. */
  async start(): Promise<Outcome> {
    const release = await startAlone();
    try {
      const outcome = await this.command('start', '--native');
      assert.equal(outcome.code, 0, outcome.output);
      return outcome;
    } finally {
      await release();
    }
  }

  stop = (): Promise<Outcome> => this.command('stop');

  /** What the newest run says about itself. */
  record(): RunRecord {
    return JSON.parse(readFileSync(join(this.folder, 'run.json'), 'utf8')) as RunRecord;
  }

  ports = (): Record<string, number> => this.record().ports;

  /** The components that run. */
  running = (): string[] => this.record().components.map(({ name }) => name);

  /** Whether Tempo itself runs, and not its stand-in. */
  hasTempo = (): boolean =>
    this.record().components.some(({ name, source }) => name === 'tempo' && source !== 'stand-in');

  /** Stops a component, with its own children, from doing anything; or lets it go on. */
  signal(name: string, signal: 'STOP' | 'CONT'): void {
    const { pid } = this.record().components.find((part) => part.name === name)!;
    spawnSync('pkill', [`-${signal}`, '-P', String(pid)]);
    process.kill(pid, `SIG${signal}`);
  }

  /** Replaces a text in the config of the Alertmanager that runs, and reloads it; answers how to undo that. */
  async configureAlertmanager(
    text: string | RegExp,
    replacement: string,
  ): Promise<() => Promise<void>> {
    const file = join(this.folder, 'config/alertmanager/alertmanager.yml');
    const shipped = readFileSync(file, 'utf8');
    const changed = shipped.replace(text, replacement);
    assert.notEqual(changed, shipped);
    const reload = async (config: string) => {
      writeFileSync(file, config);
      const url = `${this.stores.alertmanager}/-/reload`;
      assert.equal((await fetch(url, { method: 'POST' })).status, 200);
    };
    await reload(changed);
    return () => reload(shipped);
  }

  /**
   * Starts one component with its config of this repository and nothing around it; its data stay for the
   * next start.
   * @param ports ports of others on 127.0.0.1, or of its own, by "name:inside"
   * @param args more arguments for it
   */
  async startAlone(
    name: string,
    ports: Record<string, number> = {},
    args: string[] = [],
  ): Promise<ManagedProcess> {
    const { context } = this;
    const { settings } = context;
    const part = component(name);
    const chosen = await choosePorts(components, settings);
    const port = (of: string, inside: number) =>
      ports[`${of}:${inside}`] ?? chosen.get(`${of}:${inside}`)!;
    const program = programOf(part, settings);
    const file = program ? (await obtainProgram(context, program)).file : '';
    const command = await prepare(part, context, port, file);
    command.args.push(...args);
    const started = new ManagedProcess(name, command, join(this.folder, `${name}.log`));
    const { port: inside, path } = part.readiness!;
    await started.waitUntilReady(
      { url: `http://127.0.0.1:${port(name, inside)}${path}` },
      20_000,
      new AbortController().signal,
    );
    return started;
  }
}

const MAIN = join(ROOT, 'cli/main.js');

/** Settings that publish every port on a free number. */
export async function freePorts(): Promise<NodeJS.ProcessEnv> {
  const names = publishedPorts(components, createContext().settings).map(({ setting }) => setting);
  for (;;) {
    const first = 10_000 + randomInt(1_000) * 10;
    const numbers = names.map((_, i) => first + i);
    const busy = await Promise.all(numbers.map((port) => isListening(port)));
    if (!busy.includes(true)) return Object.fromEntries(names.map((n, i) => [n, `${first + i}`]));
  }
}

/**
 * Waits until no other test starts a stack: two that start at once could choose the same inner ports.
 * Answers how to let the next one in; the end of this process does so, too.
 */
async function startAlone(): Promise<() => Promise<void>> {
  for (;;) {
    const turn = createServer().listen(19_999, '127.0.0.1');
    try {
      await once(turn, 'listening');
      return async () => {
        await once(turn.close(), 'close');
      };
    } catch {
      await sleep(100); // another has it
    }
  }
}
