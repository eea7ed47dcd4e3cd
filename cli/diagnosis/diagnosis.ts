import { styleText } from 'node:util';
import { reasonOf } from '../checks.ts';
import type { Context } from '../context.ts';
import { Stores } from '../stores.ts';
import { NotChecked, examination, type Examination, type Hop } from './examination.ts';
import { grafanaHops } from './grafana.ts';
import { machineHops } from './machine.ts';
import { alertHops, signalHops } from './signals.ts';
import { notRunning, standing } from './standing.ts';

/** What came of a hop. */
export interface Finding {
  title: string;
  state: 'ok' | 'wrong' | 'not checked';
  text: string;
}

/**
 * One finding for each hop that data takes, in their order, checked with canaries of its own. All are
 * checked side by side, each once those before it are well: so what is wrong is the cause.
 * @param deadlineMs how long a canary may take to the end of its hop
 */
export async function* diagnose(context: Context, deadlineMs = 20_000): AsyncGenerator<Finding> {
  const findings = new Map<string, Promise<Finding>>();
  const isWell = async (title: string) => (await findings.get(title))?.state === 'ok';
  const exam = examination(context, await standing(context), isWell, deadlineMs);
  for (const hop of [...machineHops, ...signalHops, ...alertHops, ...grafanaHops])
    findings.set(hop.title, find(hop, exam));
  yield* findings.values();
}

/** Never fails: whoever asked for it may have stopped to listen. */
async function find({ title, after = [], check }: Hop, exam: Examination): Promise<Finding> {
  await Promise.resolve(); // until every hop has begun
  try {
    for (const needed of after)
      if (!(await exam.isWell(needed))) throw new NotChecked(`needs ${needed}`);
    return { title, state: 'ok', text: await check(exam) };
  } catch (error) {
    const state = error instanceof NotChecked ? 'not checked' : 'wrong';
    return { title, state, text: reasonOf(error).replaceAll('\n', ' ') };
  }
}

const SIGNS = { ok: ['green', '✔'], wrong: ['red', '✘'], 'not checked': ['gray', '–'] } as const;

/** A finding as a line for people. */
export function findingLine({ title, state, text }: Finding): string {
  const [color, sign] = SIGNS[state];
  return styleText(color, `${sign} ${title.padEnd(26)} ${text}`);
}

/** The lines of what is wrong, as `npm run doctor` tells it. */
export async function whatIsWrong(context: Context): Promise<string> {
  const lines: string[] = [];
  for await (const finding of diagnose(context))
    if (finding.state === 'wrong') lines.push(findingLine(finding));
  return lines.join('\n') || 'npm run doctor finds nothing wrong now.';
}

/** @throws Error that says how to start the stack, or what is wrong with it, when the books service is not ready */
export async function requireService(context: Context): Promise<void> {
  const problem = await new Stores(context).whyDown('backend-example');
  if (!problem) return;
  const now = await standing(context);
  const why =
    now.how === 'not running'
      ? `${notRunning(now.ended)}\nStart the stack with: npm start`
      : await whatIsWrong(context);
  throw new Error(`The books service is not ready: ${problem}.\n${why}`);
}
