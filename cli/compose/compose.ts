import { execFile, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LOAD_GENERATOR } from '../components/load-generator.ts';
import { find } from '../components/index.ts';
import type { Context } from '../context.ts';
import { portHolder, refuseBusyPorts, type NeededPort } from '../native/ports.ts';
import { ROOT } from '../paths.ts';
import { CAUSES, NATIVE } from './failures.ts';

/** Ctrl-C came while containers started, and they could not be stopped. */
export class StopError extends Error {}

/** Drives `docker compose` with docker-compose.yaml, as a person would in the repository's folder. */
export class Compose {
  /** Containers and volumes are named after it. */
  private readonly project: string;
  private readonly env: NodeJS.ProcessEnv;

  constructor({ env }: Pick<Context, 'env'>) {
    this.env = env;
    this.project = env.COMPOSE_PROJECT_NAME || 'lgtm-stack';
  }

  /**
   * True when a Docker engine answers and Compose v2 is there, false when none answers.
   * @throws Error with one sentence when there is one that cannot be used
   */
  async answers(): Promise<boolean> {
    const engine = await this.ask(['version', '--format', '{{.Server.Version}}']);
    if (/permission denied/i.test(engine.output))
      throw new Error(
        `Docker runs, but you may not use its socket: add yourself to its group ("sudo usermod -aG docker $USER") and log in again. ${NATIVE}`,
      );
    const where = await this.ask(['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}']);
    if (engine.ok && /^(ssh|tcp|https?):\/\/(?!localhost|127\.|\[::1\])/.test(where.output))
      throw new Error(
        `Docker's engine is on another machine (${where.output}), where nobody would find the stack's ports on 127.0.0.1. Use one on this machine ("docker context use default", and unset DOCKER_HOST). ${NATIVE}`,
      );
    if (engine.ok && !(await this.ask(['compose', 'version'])).ok)
      throw new Error(
        `Docker answers, but Compose v2 is missing, and the older docker-compose cannot read docker-compose.yaml: install the plugin (https://docs.docker.com/compose/install/linux/). ${NATIVE}`,
      );
    return engine.ok;
  }

  /** For people: that Docker is not used, and what to do about it where it is installed. */
  async absence(): Promise<string> {
    const installed = (await this.ask(['--version'])).ok;
    return installed
      ? `Docker is installed, but no engine answers. To use it, press Ctrl-C, start it (Docker Desktop, or "sudo systemctl start docker"), and run the command again.\nGoing on without it: the same components as local processes.\n`
      : 'There is no Docker: starting the same components as local processes.\n';
  }

  /**
   * Builds and starts every container, and returns when all of them are healthy.
   * @param onReady is told when a container becomes healthy, and how long after its start
   * @throws Error that says in a sentence what went wrong, and what Compose said
   */
  async up(
    onReady: (name: string, afterMs: number) => void,
    progress: (text: string) => void,
    stop: AbortSignal,
  ): Promise<void> {
    await this.refuseBusyPorts();
    stop.throwIfAborted();
    const began = Date.now();
    const child = this.compose(['up', '--build', '--wait'], { stdio: ['ignore', 'pipe', 'pipe'] });
    stop.addEventListener('abort', () => child.kill('SIGINT'));
    let output = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        progress(text.trim().split('\n').at(-1)!.trim());
      });
    const ready = new Set<string>();
    const report = async () => {
      for (const [name, startedAt] of await this.healthy()) {
        if (!ready.has(name!)) onReady(name!, Date.now() - Math.max(Date.parse(startedAt!), began));
        ready.add(name!);
      }
    };
    const ended = once(child, 'close');
    while (!(await Promise.race([ended, sleep(500)]))) await report();
    if (stop.aborted) {
      await this.run('stop').catch((error: Error) => {
        throw new StopError(`${error.message} Try again: npm stop`);
      });
      throw new Error('stopped');
    }
    if ((await ended)[0] !== 0) throw new Error(await this.explain(output));
    await report();
  }

  /** Stops and removes the containers; the volumes, and so the data, stay. */
  down = (): Promise<void> => this.run('down');

  /** Prints the containers, their state and their ports. */
  printStatus = (): Promise<void> => this.run('ps', '--all');

  /** True when at least one container of the stack runs. */
  async runs(...options: '--all'[]): Promise<boolean> {
    const { ok, output } = await this.ask(['compose', 'ps', '--quiet', ...options]);
    return ok && output !== '';
  }

  /** True when there is one, running or ended. */
  exists = (): Promise<boolean> => this.runs('--all');

  /**
   * Runs a command of Compose whose output nobody has to read.
   * @param env is set over the shell's variables
   * @throws Error with its output
   */
  async command(args: string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
    const options = { env: { ...this.env, ...env }, timeout: 120_000 };
    const { ok, output } = await this.ask(['compose', ...args], options);
    if (!ok) throw new Error(`"docker compose ${args.join(' ')}" failed: ${output}`);
  }

  /** The folder in which Docker keeps images and volumes. */
  folder = async (): Promise<string> =>
    (await this.ask(['info', '--format', '{{.DockerRootDir}}'])).output;

  /** Starts the load generator in a container; its exit code is k6's. */
  load = (env: NodeJS.ProcessEnv): ChildProcess =>
    this.compose(['run', '--rm', '--build', '--no-deps', LOAD_GENERATOR], {
      env: { ...this.env, ...env },
    });

  /** @throws Error that names each port which the containers need and who holds it */
  async refuseBusyPorts(): Promise<void> {
    const { ok, output } = await this.ask(['compose', 'config', '--format', 'json']);
    if (!ok) throw new Error(output); // it says which line
    const { services } = JSON.parse(output) as Config;
    const needed = Object.entries(services).flatMap(([name, { ports = [] }]) =>
      ports.map(({ published, target }): NeededPort => {
        const part = find(name);
        const setting = part?.ports.find(({ inside }) => inside === target)?.setting;
        return { title: part?.title ?? name, port: Number(published), setting };
      }),
    );
    // those that are none or a range, of which Docker takes a free one, are no number
    await refuseBusyPorts(
      needed.filter(({ port }) => port),
      async (port) => {
        const format = '{{.Names}} {{.Label "com.docker.compose.project"}}';
        const ps = ['ps', '--filter', `publish=${port}`, '--format', format];
        const [name, project] = (await this.ask(ps)).output.split(' ');
        if (project === this.project) return undefined; // it runs already: Compose brings it up to date
        return name ? `the container ${name}` : portHolder(port);
      },
    );
  }

  /** The service of each healthy container, and when it started. */
  private async healthy(): Promise<string[][]> {
    const ours = `label=com.docker.compose.project=${this.project}`;
    const ps = ['ps', '--filter', ours, '--filter', 'health=healthy', '--quiet'];
    const { output: ids } = await this.ask(ps);
    if (!ids) return [];
    const format = '{{index .Config.Labels "com.docker.compose.service"}} {{.State.StartedAt}}';
    const all = await this.ask(['inspect', '--format', format, ...ids.split('\n')]);
    return all.ok ? all.output.split('\n').map((line) => line.split(' ')) : [];
  }

  private async explain(output: string): Promise<string> {
    const unwell = new RegExp(`${this.project}-([\\w-]+)-\\d+ (?:is unhealthy|exited)`);
    const service = unwell.exec(output)?.[1];
    const log = service
      ? (await this.ask(['compose', 'logs', '--no-log-prefix', '--tail=20', service])).output
      : '';
    const said = `\nThe end of what docker compose said:\n${indent(output.trim().split('\n').slice(-12).join('\n'))}`;
    const cause = CAUSES.find(([pattern]) => pattern.test(output + log));
    if (cause) return cause[1] + said;
    if (!service) return `docker compose failed. ${NATIVE}${said}`;
    return `${find(service)?.title ?? service} did not get ready. The end of its log ("docker compose logs ${service}" shows all):\n${indent(log)}`;
  }

  /** Runs docker to its end, and answers what it printed. */
  private async ask(args: string[], options: Pick<SpawnOptions, 'env' | 'timeout'> = {}) {
    const defaults = { cwd: ROOT, env: this.env, timeout: 30_000 };
    try {
      const { stdout } = await promisify(execFile)('docker', args, { ...defaults, ...options });
      return { ok: true, output: stdout.trim() };
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      return { ok: false, output: `${stdout}${stderr}`.trim() };
    }
  }

  /** Starts a command of Compose, whose output people read unless it is told otherwise. */
  private compose(args: string[], options: SpawnOptions = {}): ChildProcess {
    const defaults = { cwd: ROOT, env: this.env, stdio: 'inherit' } as const;
    return spawn('docker', ['compose', ...args], { ...defaults, ...options });
  }

  /** Runs one to its end. */
  private async run(...args: string[]): Promise<void> {
    const [code] = (await once(this.compose(args), 'exit')) as [number | null];
    if (code !== 0)
      throw new Error(
        `"docker compose ${args.join(' ')}" ended with code ${code}; its own message is above.`,
      );
  }
}

/** What we read of `docker compose config`. */
interface Config {
  services: Record<string, { ports?: { published?: string; target?: number }[] }>;
}

const indent = (lines: string): string => lines.replace(/^/gm, '    ');
