import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { command } from './command.ts';

// What people type. A verb that is called in a wrong way says so before it does anything.

async function refuses(args: string[], ...lines: RegExp[]): Promise<void> {
  const { code, output } = await command({}, ...args);
  for (const line of lines) assert.match(output, line);
  assert.equal(code, 2, output);
}

describe('npm run', { concurrency: true }, () => {
  for (const verb of ['start', 'stop', 'status', 'tour', 'doctor', 'lesson', 'load'])
    it(`refuses an option that ${verb} does not have`, () =>
      refuses(
        [verb, '--nativ'],
        /^error: unknown option '--nativ'$/m,
        new RegExp(`^Usage: npm run ${verb} -- `, 'm'),
      ));

  it('names the options that there are', async () => {
    await refuses(
      ['start', '--nativ'],
      /^ {2}--native +without Docker, also where Docker answers$/m,
    );
    await refuses(
      ['load', '--raet'],
      /^ {2}--rate <number> +requests per second, such as 20$/m,
      /^ {2}--duration <time> +how long, such as 1m30s$/m,
    );
  });

  it('refuses a word that is no option', () =>
    refuses(['start', 'native'], /^error: too many arguments for 'start'\./m));

  it('refuses a value that is missing, or that it cannot use', async () => {
    await refuses(['load', '--rate'], /^error: option '--rate <number>' argument missing$/m);
    await refuses(
      ['load', '--rate=fast'],
      /'fast' is invalid\. .* a whole number from 1 to 9999\.$/m,
    );
    await refuses(
      ['load', '--duration', '1 day'],
      /'1 day' is invalid\. .* numbers with ms, s, m or h, such as 1m30s\.$/m,
    );
  });

  it('refuses a verb that does not exist, or none, and lists them', async () => {
    const list = /^Commands:\n {2}start .*\n {2}stop [^]*\n {2}load /m;
    await refuses(['strat'], /^error: unknown command 'strat'$/m, list);
    await refuses([], list);
  });

  it('refuses a lesson that does not exist, or two, and lists them', async () => {
    await refuses(['lesson', 'slow'], /^There is no lesson slow\.$/m, /^ {2}slow-query +.* → /m);
    await refuses(['lesson', 'slow-query', 'noisy-logs'], /^error: too many arguments /m);
  });

  it('lists the lessons', async () => {
    const { code, output } = await command({}, 'lesson');
    assert.equal(code, 0, output);
    assert.match(output, /^npm run lesson -- <name>\n\n( {2}\S+ +.* → \w+\n){4}$/m);
  });
});
