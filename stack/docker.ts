import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ROOT, composeService, loadGenerator } from './components.ts';
import { portHolder, refuseBusyPorts } from './processes.ts';

/** Compose names containers and volumes after it. The tests have one of their own. */
const PROJECT = process.env.COMPOSE_PROJECT_NAME ?? 'lgtm-stack';
const NATIVE = 'npm start -- --native does without Docker.';

/**
 * True when a Docker engine answers and Compose v2 is there, false when none answers.
 * @throws Error with one sentence when there is one that cannot be used
 */
export async function dockerAnswers(): Promise<boolean> {
  const engine = await docker('version', '--format', '{{.Server.Version}}');
  if (/permission denied/i.test(engine.output))
    throw new Error(
      `Docker runs, but you may not use its socket: add yourself to its group ("sudo usermod -aG docker $USER") and log in again. ${NATIVE}`,
    );
  if (!engine.ok) return false;
  if (!(await docker('compose', 'version')).ok)
    throw new Error(
      `Docker answers, but Compose v2 is missing, and the older docker-compose cannot read docker-compose.yaml: install the plugin (https://docs.docker.com/compose/install/linux/). ${NATIVE}`,
    );
  return true;
}

/** Ctrl-C came while containers started, and they could not be stopped. */
export class StopError extends Error {}

/**
 * Builds and starts every container, and returns when all of them are healthy.
 * @param onReady is told when a container becomes healthy, and how long after its start
 * @throws Error that says in a sentence what went wrong, and what Compose said
 */
export async function composeUp(
  onReady: (name: string, afterMs: number) => void,
  progress: (text: string) => void,
  stop: AbortSignal,
): Promise<void> {
  await refuseBusyContainerPorts();
  stop.throwIfAborted();
  const child = spawn('docker', ['compose', 'up', '--build', '--wait'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      progress(text.trim().split('\n').at(-1)!.trim());
    });
  const pass = () => child.kill('SIGINT');
  stop.addEventListener('abort', pass);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const over = ended.then(() => true);
  const began = Date.now();
  const ready = new Set<string>();
  const report = async () => {
    for (const { name, startedAt } of await healthyContainers())
      if (!ready.has(name)) {
        ready.add(name);
        onReady(name, Date.now() - Math.max(startedAt, began));
      }
  };
  while (!(await Promise.race([over, sleep(500, false)]))) await report();
  stop.removeEventListener('abort', pass);
  if (stop.aborted) {
    await compose('stop').catch((error: Error) => {
      throw new StopError(`${error.message} Try again: npm stop`);
    });
    throw new Error('stopped');
  }
  if ((await ended) !== 0) throw new Error(await explain(output));
  await report();
}

/** Stops and removes the containers; the volumes, and so the data, stay. */
export const composeDown = () => compose('down');

/** Runs a command of Compose whose output nobody has to read. */
export async function composeCommand(...args: string[]): Promise<void> {
  const { ok, output } = await docker('compose', ...args);
  if (!ok)
    throw new Error(`"docker compose ${args.join(' ')}" failed: ${output}`);
}

/** Prints the containers, their state and their ports. */
export const composeStatus = () => compose('ps', '--all');

/** True when at least one container of the stack runs. */
export const composeRuns = () => lists('--quiet');

/** True when there is one, running or ended. */
export const composeExists = () => lists('--all', '--quiet');

async function lists(...options: string[]): Promise<boolean> {
  const { ok, output } = await docker('compose', 'ps', ...options);
  return ok && output !== '';
}

/** The folder in which Docker keeps images and volumes. */
export const dockerFolder = async () =>
  (await docker('info', '--format', '{{.DockerRootDir}}')).output;

/** Starts the load generator in a container; it gets LOAD_RATE and LOAD_DURATION, its exit code is k6's. */
export const composeLoad = () =>
  spawnCompose('run', '--rm', '--build', '--no-deps', loadGenerator.name);

/** @throws Error that names each port which the containers need and who holds it */
export async function refuseBusyContainerPorts(): Promise<void> {
  await refuseBusyPorts(await publishedPorts(), async (port) => {
    const list = ['ps', '--filter', `publish=${port}`, '--format'];
    const { output } = await docker(
      ...list,
      '{{.Names}} {{.Label "com.docker.compose.project"}}',
    );
    const [name, project] = output.split(' ');
    if (project === PROJECT) return undefined; // it runs already: Compose brings it up to date
    return name ? `the container ${name}` : portHolder(port);
  });
}

async function publishedPorts(): Promise<{ title: string; port: number }[]> {
  const { ok, output } = await docker('compose', 'config', '--format', 'json');
  if (!ok) throw new Error(output); // it says which line
  const { services } = JSON.parse(output) as {
    services: Record<string, { ports?: { published?: string }[] }>;
  };
  return Object.entries(services).flatMap(([name, { ports = [] }]) =>
    ports
      .filter(({ published }) => Number(published)) // none, or a range: Docker takes a free one
      .map(({ published }) => ({
        title: composeService(name).title,
        port: Number(published),
      })),
  );
}

async function healthyContainers(): Promise<
  { name: string; startedAt: number }[]
> {
  const list = [
    'ps',
    '--filter',
    `label=com.docker.compose.project=${PROJECT}`,
  ];
  const { output: ids } = await docker(...list, '--quiet');
  if (!ids) return [];
  const format =
    '{{index .Config.Labels "com.docker.compose.service"}} {{.State.StartedAt}} {{if .State.Health}}{{.State.Health.Status}}{{end}}';
  const all = await docker('inspect', '--format', format, ...ids.split('\n'));
  return all.output
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , health]) => health === 'healthy')
    .map(([name, startedAt]) => ({
      name: name!,
      startedAt: Date.parse(startedAt!),
    }));
}

/** The usual failures of `docker compose up`, by what it says about them. */
const CAUSES: [RegExp, string][] = [
  [
    /start_interval/,
    `The Docker engine is too old for the health checks: version 25 or newer is needed (https://docs.docker.com/engine/install/). ${NATIVE}`,
  ],
  [
    /no space left on device/i,
    'The disk is full: "docker system df" shows what Docker keeps, "docker system prune" removes what nothing uses.',
  ],
  [
    /port is already allocated|address already in use/i,
    'A port was taken in the meantime: run the command again, and it names the holder.',
  ],
  [
    /pull access denied|failed to resolve source metadata|manifest (unknown|for)|toomanyrequests|failed to do request|TLS handshake timeout|no such host|Get "https?:/i,
    `An image could not be pulled: the registry cannot be reached from here, or refuses. ${NATIVE}`,
  ],
];

async function explain(output: string): Promise<string> {
  const lines = output.trim().split('\n').slice(-12);
  const said = `\nThe end of what docker compose said:\n${lines.join('\n').replace(/^/gm, '    ')}`;
  const cause = CAUSES.find(([pattern]) => pattern.test(output));
  if (cause) return cause[1] + said;
  const [, service] =
    new RegExp(`${PROJECT}-([\\w-]+)-\\d+ (?:is unhealthy|exited)`).exec(
      output,
    ) ?? [];
  if (!service) return `docker compose failed. ${NATIVE}${said}`;
  const log = await docker(
    'compose',
    'logs',
    '--no-log-prefix',
    '--tail=20',
    service,
  );
  return `${composeService(service).title} did not get ready. The end of its log ("docker compose logs ${service}" shows all):\n${log.output.replace(/^/gm, '    ')}`;
}

async function docker(
  ...args: string[]
): Promise<{ ok: boolean; output: string }> {
  return promisify(execFile)('docker', args, {
    cwd: ROOT,
    timeout: 30_000,
  }).then(
    ({ stdout }) => ({ ok: true, output: stdout.trim() }),
    ({ stdout = '', stderr = '' }: { stdout?: string; stderr?: string }) => ({
      ok: false,
      output: `${stdout}${stderr}`.trim(),
    }),
  );
}

/** Starts a command of Compose that people read the output of. */
function spawnCompose(...args: string[]): ChildProcess {
  return spawn('docker', ['compose', ...args], {
    cwd: ROOT,
    stdio: 'inherit',
  });
}

/** Runs it to its end. */
function compose(...args: string[]): Promise<void> {
  const child = spawnCompose(...args);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0
        ? resolve()
        : reject(
            new Error(
              `"docker compose ${args.join(' ')}" ended with code ${code}; its own message is above.`,
            ),
          ),
    );
  });
}
