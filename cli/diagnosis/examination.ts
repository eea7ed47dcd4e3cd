import { randomBytes } from 'node:crypto';
import { poll } from '../checks.ts';
import { component } from '../components/index.ts';
import type { Context } from '../context.ts';
import { RunFolder } from '../run.ts';
import { Stores } from '../stores.ts';
import { seconds } from '../terminal.ts';
import type { Standing } from './standing.ts';

/** One hop that data takes, or one thing of the machine. */
export interface Hop {
  title: string;
  /** The titles of the hops that have to be well before this one can be checked. */
  after?: string[];
  /** What to say when all is well. @throws Error with what is wrong, the likely cause and what to do */
  check: (exam: Examination) => Promise<string>;
}

/** Why a hop cannot be checked. */
export class NotChecked extends Error {}

/** What the checks of one diagnosis share. */
export type Examination = ReturnType<typeof examination>;

/**
 * @param isWell whether the hop of this title is well, once that is known
 * @param deadlineMs how long a canary may take to the end of its hop
 */
export function examination(
  context: Context,
  standing: Standing,
  isWell: (title: string) => Promise<boolean>,
  deadlineMs: number,
) {
  const native = standing.how === 'native';
  const stores = new Stores(context);
  const number = context.now();
  /** Each diagnosis has a number of its own, milliseconds since 1970, and a trace id. */
  const canary = {
    number,
    // another one than in the runs of the last minute; it is a label, so there are few
    slot: String(Math.floor(number / 5_000) % 16),
    traceId: randomBytes(16).toString('hex'),
  };

  /** The command that starts a component anew. */
  const restart = (name: string): string =>
    native ? 'npm stop && npm start' : `docker compose up --build --wait ${name}`;

  /** The command that shows the end of its log. */
  const log = (name: string): string =>
    native
      ? `tail ${new RunFolder(context.settings).log(name)}`
      : `docker compose logs --tail=20 ${name}`;

  /** @throws Error when the component has a problem */
  async function answers(name: string, problem = stores.whyDown(name)): Promise<string> {
    const why = await problem;
    if (!why) return 'answers';
    throw new Error(
      `${why}. ${component(name).title} has ended or hangs: ${log(name)}; start it anew: ${restart(name)}`,
    );
  }

  /** Whether something is there in time. */
  const comes = (there: () => Promise<boolean>): Promise<boolean> =>
    poll(there, deadlineMs).then(Boolean, () => false);

  /** Waits until something is there, and says after how long. @throws Error that it is missing, and why */
  async function arrival(
    there: () => Promise<boolean>,
    text: { found: string; missing: string; cause: string },
  ): Promise<string> {
    const began = performance.now();
    if (await comes(there)) return `${text.found} after ${seconds(performance.now() - began)}`;
    throw new Error(`${text.missing} after ${deadlineMs / 1000} s. ${text.cause}`);
  }

  /** GETs a page; undefined when nothing answers. */
  async function get(url: string): Promise<{ headers: Headers; text: string } | undefined> {
    try {
      const response = await context.fetch(url, { signal: AbortSignal.timeout(3_000) });
      return { headers: response.headers, text: await response.text() };
    } catch {
      return undefined;
    }
  }

  return { context, standing, stores, canary, isWell, restart, log, answers, comes, arrival, get };
}
