import { existsSync } from 'node:fs';
import { isListening } from '../checks.ts';
import { components, origin } from '../components/index.ts';
import { Compose } from '../compose/compose.ts';
import type { Context } from '../context.ts';
import { refuseBusyPorts } from '../native/ports.ts';
import { checkRules } from '../native/preflight.ts';
import { ROOT } from '../paths.ts';
import type { Examination, Hop } from './examination.ts';
import { crashesOf } from '../run.ts';
import { notRunning } from './standing.ts';

const MOST_SKEW_S = 5;
const LEAST_FREE_GB = 1;

/** What is not a hop: whether the stack runs, and the machine below it. */
export const machineHops: Hop[] = [
  { title: 'Stack', check: stack },
  { title: 'Configuration', check: configuration },
  { title: 'Ports', after: ['Configuration'], check: ports },
  { title: 'Disk', check: disk },
  { title: 'Clock', after: ['Stack'], check: clock },
  { title: 'Versions', after: ['Stack'], check: versions },
];

async function stack({ standing }: Examination): Promise<string> {
  if (standing.how === 'native') {
    const { components } = standing.run;
    const crashed = components
      .filter(crashesOf)
      .map((part) => `; ${part.title} ${crashesOf(part)}`);
    return `runs as ${components.length} local processes${crashed.join('')}`;
  }
  if (standing.how === 'containers') return 'runs in containers';
  throw new Error(`${notRunning(standing.ended?.split('\n')[0])}. Start it: npm start`);
}

/** What .env or the shell sets, the files that it names, and the rules. */
async function configuration({ context, standing }: Examination): Promise<string> {
  for (const name of ['GRAFANA_ADMIN_PASSWORD_FILE', 'SLACK_WEBHOOK_URL_FILE'] as const)
    if (!existsSync(context.settings[name]))
      throw new Error(
        `${name} names the file ${context.settings[name]}, which does not exist. Create it, or: unset ${name} (.env)`,
      );
  checkRules();
  if (standing.docker) await new Compose(context).command(['config', '--quiet']);
  return 'is valid';
}

/** As long as the stack does not run, its ports have to be free; then they have to lead to it. */
async function ports({ context, standing, log }: Examination): Promise<string> {
  const { settings } = context;
  if (standing.how === 'not running') {
    if (standing.docker) await new Compose(context).refuseBusyPorts();
    else await refuseBusyPorts(components, settings);
    return 'are free';
  }
  const grpc = settings.OTLP_GRPC_PORT;
  if (await isListening(grpc)) return 'lead to the stack';
  throw new Error(
    `nothing takes OTLP over gRPC on port ${grpc}. The collector says why: ${log('otel-collector')}`,
  );
}

/** For people: how much room the disk of this folder has; `bad` when it is too little. */
export function roomOf({ freeBytes }: Context, folder: string): { bad: boolean; text: string } {
  const free = freeBytes(existsSync(folder) ? folder : ROOT) / 1e9;
  if (free >= LEAST_FREE_GB) return { bad: false, text: `has ${free.toFixed(1)} GB left` };
  const text = `has only ${free.toFixed(1)} GB left, and then nothing is stored any more`;
  return { bad: true, text };
}

async function disk({ context, standing }: Examination): Promise<string> {
  const { STACK_FOLDER } = context.settings;
  const folder = standing.docker ? await new Compose(context).folder() : STACK_FOLDER;
  const { bad, text } = roomOf(context, folder);
  if (!bad) return text;
  const room = standing.docker
    ? 'docker system df && docker system prune'
    : `df -h && du -sh ${STACK_FOLDER}/data/*`;
  throw new Error(`${text}. Make room: ${room}`);
}

/** Signals are found by their time, so that the clocks of all have to agree. */
async function clock({ context, standing, get }: Examination): Promise<string> {
  const { settings, now } = context;
  const skews = await Promise.all(
    components.map(async (part) => {
      const page = origin(part, settings, part.readiness?.port);
      const date = page && (await get(page + part.readiness!.path))?.headers.get('date');
      // no answer: that is another hop
      return { part, skew: date ? Math.abs(now() - Date.parse(date)) / 1000 : 0 };
    }),
  );
  const wrong = skews.find(({ skew }) => skew > MOST_SKEW_S);
  if (!wrong) return `of nobody differs by more than ${MOST_SKEW_S} s`;
  throw new Error(
    `of ${wrong.part.title} differs by ${wrong.skew.toFixed(0)} s from this machine's: new data seems old, or of the future. Set it: sudo timedatectl set-ntp true${standing.docker ? ', and start Docker anew' : ''}`,
  );
}

async function versions({ context, get, restart }: Examination): Promise<string> {
  const { settings } = context;
  const found = await Promise.all(
    components.map(async (part) => {
      const answer = part.buildInfo && (await get(origin(part, settings)! + part.buildInfo));
      // the stand-in has none, and a program built from a module without releases does not know it
      const running = answer && /"version":\s*"v?(\d+\.\d+[^"]*)"/.exec(answer.text)?.[1];
      return { part, running };
    }),
  );
  const known = found.filter(({ running }) => running);
  const wrong = known.find(({ part, running }) => running !== part.version(settings));
  if (!wrong) return known.map(({ part, running }) => `${part.title} ${running}`).join(', ');
  const { name, title, version } = wrong.part;
  throw new Error(
    `${title} ${wrong.running} runs, but ${version(settings)} is in ${name}/Dockerfile or .env. Start it anew: ${restart(name)}`,
  );
}
