import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import service from '../../backend-example/package.json' with { type: 'json' };
import { ROOT } from '../../cli/paths.ts';
import { readPage, sameLines, sameText } from '../support/pages.ts';

const block = (info: string, ...lines: string[]) => ['```' + info, ...lines, '```', ''].join('\n');
const quote = (...lines: string[]) => block('yaml file=loki/loki-config.yaml', ...lines);
const norun = (command: string) => block('sh norun="slow"', command);

const pino = service.dependencies['nestjs-pino'];
const dockerfile = readFileSync(join(ROOT, 'loki/Dockerfile'), 'utf8');
const [loki, minor] = /=((\d+\.\d+)\.\d+)/.exec(dockerfile)!.slice(1);

/** Each kind of mistake: a right page, a wrong one, and what is said about the wrong one. */
// prettier-ignore
const MISTAKES: Record<string, [right: string, wrong: string, says: RegExp]> = {
  'a block without a mark': [norun('docker compose up'), block('sh', 'docker compose up'), /^docs\/x\.md:1: "" does not say what this block is/],
  'a mark that does not exist': [norun('ls'), block('sh runs', 'ls'), /"runs" does not say/],
  'a query that is excused': [block('logql needs=tempo', 'x') + block('text answer', '…'), block('logql norun="slow"', 'x'), /"query norun" does not say/],
  'a query without an answer': [block('promql', 'up') + block('text answer', '…'), block('promql', 'up') + 'It is 1.\n', /a query needs its answer/],
  'an answer without a query': [block('logql', '{a="b"}') + block('text answer', '…'), block('text answer', '1'), /an answer needs a query above it/],
  'a command that is not run, without a reason': [norun('ls'), block('sh norun=" "', 'ls'), /norun needs a reason/],
  'output of nothing': [block('sh run', 'ls') + block('text output', '…'), norun('ls') + block('text output', '…'), /:4: output needs a run above it, or a reason/],
  'output with a reason, without one': [block('text output="a part"', '…'), block('text output', '…'), /output needs a run above it/],
  'a quote of a line that has changed': [quote('limits_config:', '  retention_period: 168h # 7 days'), quote('limits_config:', '  retention_period: 1h'), /does not say this any more: {3}retention_period: 1h/],
  'a quote that leaves out lines silently': [quote('common:', '# …', '  replication_factor: 1'), quote('common:', '  replication_factor: 1'), /in this order/],
  'a quote in another order': [quote('common:', '# …', 'limits_config:'), quote('limits_config:', '# …', 'common:'), /in this order/],
  'a quote with another indentation': [quote('ring:', '  kvstore:'), quote('ring:', 'kvstore:'), /in this order/],
  'a quote of a file that is gone': [block('ini file=grafana/grafana.ini', '[server]'), block('ini file=grafana/x.ini', '[server]'), /there is no file grafana\/x\.ini/],
  'a folder of the layout that is gone': [block('text layout', 'docs/  pages', 'loki/  tempo/'), block('text layout', 'docs/  pages', 'loki/  temp/'), /there is no temp\//],
  'a link to a file that is gone': ['[license](../LICENSE)', 'See\nthe [license](../LICENCE).', /x\.md:2: the link \.\.\/LICENCE leads to nothing/],
  'an image that is gone': ['<img src="../lgtm.svg"> ![](../lgtm.svg)', '<img src="../x.svg">', /the link \.\.\/x\.svg leads to nothing/],
  'a link to a heading that is gone': ['# `npm start` and more\n\n[start](#npm-start-and-more)', '# `npm start`\n\n[start](#npm)', /:3: docs\/x\.md has no heading #npm/],
  'a link to a heading of another page that is gone': ['[start](../README.md#quick-start)', '[start](../README.md#slow-start)', /README\.md has no heading #slow-start/],
  'a link past the issues': ['[tell us](../../../issues)', '[tell us](../../issues)', /the link \.\.\/\.\.\/issues leads to nothing/],
  'an npm script that is gone': ['Type `npm run tour`.', 'Type `npm run trip`.', /there is no script for "npm run trip"/],
  'an npm script of the service that is gone': [norun('npm run build -w backend-example'), norun('npm run tour -w backend-example'), /there is no script for "npm run tour -w/],
  'a variable that nothing reads': ['Set `LOG_LEVEL`, `OTEL_BSP_SCHEDULE_DELAY`.', 'Set `LOG_LEVELS`.', /nothing reads the variable LOG_LEVELS/],
  'a variable that nothing reads, in a command': [norun('DATABASE_URL=x npm start'), norun('DATABASE_URI=x npm start'), /nothing reads the variable DATABASE_URI/],
  'a package that is not ours': [block('sh own', 'npm run mine'), block('sh own', 'npm install left-pad@1.3.0'), /left-pad@1\.3\.0: ours is none/],
  'a package in another version than ours': [norun(`npm install nestjs-pino@${pino}`), norun('npm install nestjs-pino@0.1.0'), /nestjs-pino@0\.1\.0: ours is [1-9]/],
  'a component in another version than ours': [`Loki ${loki}, [Loki ${minor}](../LICENSE)`, '- Now *Loki 0.9* is', /Loki 0\.9: ours is [1-9]/],
};

describe('the checker of the pages', () => {
  for (const [name, [right, wrong, says]] of Object.entries(MISTAKES))
    it(`finds ${name}`, () => {
      assert.deepEqual(readPage('docs/x.md', right).problems, []);
      const { problems } = readPage('docs/x.md', wrong);
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0]!, says);
    });

  it('compares output line by line, with … for what differs', () => {
    const output = 'ready\n  Loki 3.7.8   ready in 1.5 s\nbye\n';
    assert.ok(sameText('ready\n  Loki …   ready in … s\nbye', output));
    assert.ok(sameText('ready\n…', output));
    assert.ok(sameText('…\nbye', output));
    assert.ok(!sameText('ready\nbye', output));
    assert.ok(!sameText('ready\n  Loki … ready in … ms\nbye', output));
  });

  it('compares answers in any order, with … for what differs', () => {
    const answer = ['{a="2"}  7', '{a="1"}  5'];
    assert.ok(sameLines('{a="1"}  5\n{a="2"}  …', answer));
    assert.ok(sameLines('{a="1"} 5\n…', answer));
    assert.ok(!sameLines('{a="1"}  5', answer), 'one line is missing');
    assert.ok(!sameLines('{a="1"}  5\n{a="1"}  5', answer), 'one line twice');
    assert.ok(!sameLines('{a="1"}  6\n{a="2"}  7', answer), 'another value');
  });
});
