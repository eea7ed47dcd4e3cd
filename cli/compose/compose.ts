import { execa, type Options } from 'execa';
import { LOAD_GENERATOR } from '../components/load-generator.ts';
import { components, find } from '../components/index.ts';
import type { Context } from '../context.ts';
import { portHolder, refuseBusyPorts } from '../native/ports.ts';
import { ROOT } from '../paths.ts';
import { adviceOn } from './advice.ts';

/** Ctrl-C came while containers started, and they could not be stopped. */
export class StopError extends Error {}

const NATIVE = 'npm start -- --native does without Docker.';

/** Drives `docker compose` with docker-compose.yaml, as a person would in the repository's folder. */
export class Compose {
  private readonly context: Pick<Context, 'env' | 'settings'>;
  /** Containers and volumes are named after it. */
  private readonly project: string;

  constructor(context: Pick<Context, 'env' | 'settings'>) {
    this.context = context;
    this.project = context.env.COMPOSE_PROJECT_NAME || 'lgtm-stack';
  }

  /**
   * True when a Docker engine answers and Compose v2 is there, false when none answers.
   * @throws Error when there is one that cannot be used
   */
  async answers(): Promise<boolean> {
    const engine = await this.ask(['version', '--format', '{{.Server.Version}}']);
    if (/permission denied/i.test(engine.output)) throw this.failure(engine.output);
    if (!engine.ok) return false;
    const where = await this.ask(['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}']);
    if (/^(ssh|tcp|https?):\/\/(?!localhost|127\.|\[::1\])/.test(where.output))
      throw new Error(
        `Docker's engine is on another machine (${where.output}), where nobody would find the stack's ports on 127.0.0.1. Use one on this machine ("docker context use default", and unset DOCKER_HOST). ${NATIVE}`,
      );
    const compose = await this.ask(['compose', 'version']);
    if (!compose.ok) throw this.failure(compose.output);
    return true;
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
   * @param onReady is told when a container is healthy
   * @throws Error that says in a sentence what went wrong, and what Compose said
   */
  async up(
    onReady: (name: string) => void,
    progress: (text: string) => void,
    stop: AbortSignal,
  ): Promise<void> {
    await this.refuseBusyPorts();
    stop.throwIfAborted();
    const up = execa('docker', ['compose', 'up', '--build', '--wait'], {
      ...this.options(),
      all: true,
      reject: false,
      cancelSignal: stop,
      killSignal: 'SIGINT',
      forceKillAfterDelay: false, // it takes its time to stop what it has begun
    });
    const container = new RegExp(`Container ${this.project}-([\\w-]+)-\\d+ +Healthy`);
    for await (const line of up.iterable({ from: 'all' })) {
      progress(line.trim());
      const name = container.exec(line)?.[1];
      if (name) onReady(name);
    }
    const { failed, all } = await up;
    if (stop.aborted) {
      await this.compose('stop').catch((error: Error) => {
        throw new StopError(`${error.message}. Try again: npm stop`);
      });
      stop.throwIfAborted();
    }
    if (failed) throw await this.explain(all);
  }

  /** Stops and removes the containers; the volumes, and so the data, stay. */
  down = () => this.compose('down');

  /** Prints the containers, their state and their ports. */
  printStatus = () => this.compose('ps', '--all');

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
  command = (args: string[], env: NodeJS.ProcessEnv = {}) =>
    execa('docker', ['compose', ...args], { ...this.options(env), timeout: 120_000 });

  /** The folder in which Docker keeps images and volumes. */
  folder = async (): Promise<string> =>
    (await this.ask(['info', '--format', '{{.DockerRootDir}}'])).output;

  /** Starts the load generator in a container; its exit code is k6's. */
  load = (env: NodeJS.ProcessEnv) =>
    execa('docker', ['compose', 'run', '--rm', '--build', '--no-deps', LOAD_GENERATOR], {
      ...this.options(env),
      stdio: 'inherit',
      reject: false,
    });

  /** @throws Error that names each port which the containers need and who else holds it */
  async refuseBusyPorts(): Promise<void> {
    const format = '{{.Names}} {{.Label "com.docker.compose.project"}}';
    await refuseBusyPorts(components, this.context.settings, async (port) => {
      const { output } = await this.ask(['ps', '--filter', `publish=${port}`, '--format', format]);
      const [name, project] = output.split(' ');
      if (project === this.project) return undefined; // it runs already: Compose brings it up to date
      return name ? `the container ${name}` : portHolder(port);
    });
  }

  private async explain(output: string): Promise<Error> {
    const unwell = new RegExp(`${this.project}-([\\w-]+)-\\d+ (?:is unhealthy|exited)`);
    const service = unwell.exec(output)?.[1];
    if (!service) return this.failure(output);
    const logs = ['compose', 'logs', '--no-log-prefix', '--tail=20', service];
    const { output: log } = await this.ask(logs);
    const advice = adviceOn(log);
    return new Error(
      `${find(service)?.title ?? service} did not get ready${advice && `: ${advice}`}. The end of its log ("docker compose logs ${service}" shows all):\n${indent(log)}`,
    );
  }

  /** What Docker said, and what helps. */
  private failure(output: string): Error {
    const end = output.trim().split('\n').slice(-12).join('\n');
    const advice = adviceOn(output);
    return new Error(
      `Docker failed${advice ? `: ${advice}` : `. ${NATIVE}`}\nThe end of what it said:\n${indent(end)}`,
    );
  }

  /** Runs docker to its end, and answers what it printed. */
  private async ask(args: string[]): Promise<{ ok: boolean; output: string }> {
    const { failed, stdout, all } = await execa('docker', args, {
      ...this.options(),
      all: true,
      reject: false,
      timeout: 30_000,
    });
    return { ok: !failed, output: failed ? all : stdout };
  }

  /** Runs a command of Compose whose output people read. */
  private compose = (...args: string[]) =>
    execa('docker', ['compose', ...args], { ...this.options(), stdio: 'inherit' });

  private options = (env: NodeJS.ProcessEnv = {}) =>
    ({ cwd: ROOT, extendEnv: false, env: { ...this.context.env, ...env } }) satisfies Options;
}

const indent = (lines: string): string => lines.replace(/^/gm, '    ');
