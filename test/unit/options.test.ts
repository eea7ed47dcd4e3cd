import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createContext } from '../../cli/context.ts';
import { doctor } from '../../cli/doctor.ts';
import { lesson } from '../../cli/lesson.ts';
import { load } from '../../cli/load.ts';
import { UsageError } from '../../cli/options.ts';
import { start } from '../../cli/start.ts';
import { status } from '../../cli/status.ts';
import { stop } from '../../cli/stop.ts';
import { tour } from '../../cli/tour.ts';
import type { Verb } from '../../cli/verbs.ts';
import { command } from './command.ts';

const VERBS: Record<string, Verb> = { start, stop, status, tour, doctor, lesson, load };
const NATIVE = '\n  --native     as local processes, also where Docker answers';
const LOAD =
  '\n  --rate       requests per second, such as 20\n  --duration   how long, such as 1m30s';

/** A verb that is called in a wrong way says so before it does anything. */
const refuses = (verb: string, args: string[], message: string | RegExp) =>
  assert.rejects(VERBS[verb]!(createContext(), args), (error) => {
    assert.ok(error instanceof UsageError, String(error));
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });

describe('a verb', () => {
  for (const [verb, takes] of Object.entries({
    start: `"npm start -- …" takes:${NATIVE}`,
    stop: '"npm stop" takes no options.',
    status: '"npm run status" takes no options.',
    tour: '"npm run tour" takes no options.',
    doctor: '"npm run doctor" takes no options.',
    lesson: '"npm run lesson" takes no options.',
    load: `"npm run load -- …" takes:${LOAD}`,
  }))
    it(`refuses an option that ${verb} does not have, and names those that it has`, () =>
      refuses(verb, ['--nativ'], `Unknown option '--nativ'. ${takes}`));

  it('refuses a word that is no option', () =>
    refuses('start', ['native'], /^Unexpected argument 'native'\. .* takes:\n {2}--native /s));

  it('refuses a value where there is none, and none where there is one', async () => {
    await refuses('start', ['--native=yes'], /'--native' does not take an argument\. /);
    await refuses('load', ['--rate'], /'--rate <value>' argument missing\. /);
  });

  it('refuses a value that it cannot use', async () => {
    await refuses(
      'load',
      ['--rate=fast'],
      '--rate is "fast", but the rate is a whole number of requests per second from 1 to 9999.',
    );
    await refuses(
      'load',
      ['--duration', '1 day'],
      '--duration is "1 day", but the duration is a number with ms, s, m or h, such as 1m30s.',
    );
  });

  it('refuses a lesson that does not exist, or two, and lists them', async () => {
    const list =
      /^There is no lesson [\w -]+\.\n\nnpm run lesson -- <name>\n\n {2}slow-query +.*\n/;
    await refuses('lesson', ['slow'], list);
    await refuses('lesson', ['slow-query', 'noisy-logs'], list);
  });
});

describe('npm', () => {
  it('ends with code 2 when a verb is called in a wrong way', async () => {
    const { code, output } = await command({}, 'start', '--nativ');
    assert.equal(output, `\nUnknown option '--nativ'. "npm start -- …" takes:${NATIVE}\n`);
    assert.equal(code, 2);
  });

  it('ends with code 2 for a verb that does not exist, and lists them', async () => {
    for (const args of [['strat'], []]) {
      const { code, output } = await command({}, ...args);
      const verbs = Object.keys(VERBS).join(', ');
      assert.equal(output, `\nThere is no verb "${args[0] ?? ''}"; there are ${verbs}.\n`);
      assert.equal(code, 2);
    }
  });
});
