import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readPage, sameLines, sameText } from './docs-check.ts';

// The checker itself: each kind of mistake is found, and its right form is not one.

/** What is wrong with a page of this text. */
const problems = (text: string, page = 'README.md') =>
  readPage(page, text).problems.join('\n');

const fence = (info: string, ...lines: string[]) =>
  ['```' + info, ...lines, '```', ''].join('\n');

describe('docs:check', () => {
  const CASES: Record<string, { right: string; wrong: string; says: RegExp }> =
    {
      'a block without a mark': {
        right: fence('sh norun="only with Docker"', 'docker compose up'),
        wrong: fence('sh', 'docker compose up'),
        says: /^README\.md:1: nothing says what this block is/,
      },
      'a command that is not run, without a reason': {
        right: fence('sh norun="it ends the stack"', 'npm stop'),
        wrong: fence('sh norun=""', 'npm stop'),
        says: /norun needs a reason/,
      },
      'a quote of a line that has changed': {
        right: fence(
          'yaml file=loki/loki-config.yaml',
          'limits_config:',
          '  retention_period: 168h # 7 days',
        ),
        wrong: fence(
          'yaml file=loki/loki-config.yaml',
          'limits_config:',
          '  retention_period: 24h # 1 day',
        ),
        says: /loki-config\.yaml does not say this any more: {3}retention_period: 24h/,
      },
      'a quote that leaves out lines without saying so': {
        right: fence(
          'yaml file=loki/loki-config.yaml',
          'common:',
          '# …',
          '  replication_factor: 1',
        ),
        wrong: fence(
          'yaml file=loki/loki-config.yaml',
          'common:',
          '  replication_factor: 1',
        ),
        says: /in this order/,
      },
      'a quote with another indentation inside': {
        right: fence('yaml file=loki/loki-config.yaml', 'ring:', '  kvstore:'),
        wrong: fence('yaml file=loki/loki-config.yaml', 'ring:', 'kvstore:'),
        says: /in this order/,
      },
      'a quote of a file that is gone': {
        right: fence('ini file=grafana/grafana.ini', '[server]'),
        wrong: fence('ini file=grafana/custom.ini', '[server]'),
        says: /there is no file grafana\/custom\.ini/,
      },
      'a query without an answer': {
        right: fence('promql', 'up') + fence('text answer', '…'),
        wrong: fence('promql', 'up') + 'It is 1.\n',
        says: /a query needs its answer/,
      },
      'an answer without a query': {
        right: fence('logql', '{a="b"}') + fence('text answer', '…'),
        wrong: fence('text answer', '1'),
        says: /an answer needs a query above it/,
      },
      'output of nothing': {
        right: fence('sh run', 'npm run status') + fence('text output', '…'),
        wrong: fence('text output', 'All ready'),
        says: /output needs a command that is run above it, or a reason/,
      },
      'a folder in the layout that is gone': {
        right: fence('text layout', 'stack/  the runner'),
        wrong: fence('text layout', 'scripts/  the runner'),
        says: /there is no scripts\//,
      },
      'a link to a file that is gone': {
        right: '[license](LICENSE)',
        wrong: '[license](LICENCE)',
        says: /the link LICENCE leads to nothing/,
      },
      'an image that is gone': {
        right: '![diagram](lgtm.svg)',
        wrong: '<img src="diagram.svg">',
        says: /the link diagram\.svg leads to nothing/,
      },
      'a link to a heading that is gone': {
        right: '# `npm start` and more\n\n[start](#npm-start-and-more)',
        wrong: '# `npm start` and more\n\n[start](#npm-start)',
        says: /README\.md has no heading #npm-start/,
      },
      'a heading of another page': {
        right: '[ports](../README.md#ports)',
        wrong: '[ports](../README.md#port-numbers)',
        says: /README\.md has no heading #port-numbers/,
      },
      'an npm script that is gone': {
        right: 'Type `npm run tour`.',
        wrong: 'Type `npm run trip`.',
        says: /there is no script for "npm run trip"/,
      },
      'an npm script in a command': {
        right: fence('sh norun="slow"', 'npm ci && npm test'),
        wrong: fence('sh norun="slow"', 'npm ci && npm run tests'),
        says: /there is no script for "npm run tests"/,
      },
      'a port in a link': {
        right: '[Grafana](http://localhost:3000)',
        wrong: '[Grafana](http://localhost:3001)',
        says: /no component has port 3001/,
      },
      'a port in prose': {
        right: 'The service listens on port 5555.',
        wrong: 'The service listens on port 5557.',
        says: /no component has port 5557/,
      },
      'a port in code': {
        right: 'Send it to `otel-collector:4318`.',
        wrong: 'Send it to `otel-collector:4319`.',
        says: /no component has port 4319/,
      },
      'a port in a table': {
        right: '| component | port |\n|---|---|\n| Loki | 3100 |',
        wrong: '| component | port |\n|---|---|\n| Loki | 3101 (inside) |',
        says: /no component has port 3101/,
      },
      'an environment variable': {
        right: 'Set `LOG_LEVEL` and `OTEL_METRIC_EXPORT_INTERVAL`.',
        wrong: 'Set `LOG_LEVELS`.',
        says: /nothing reads the variable LOG_LEVELS/,
      },
      'an environment variable in a command': {
        right: fence('sh norun="example"', 'DATABASE_URL=x npm start'),
        wrong: fence('sh norun="example"', 'DATABASE_URI=x npm start'),
        says: /nothing reads the variable DATABASE_URI/,
      },
      'the version of a component': {
        right: 'Loki 3.7.8 stores logs.',
        wrong: 'Loki 3.7 and Tempo 2.9 store them.',
        says: /Tempo is [\d.]+, not 2\.9/,
      },
      'any other version': {
        right: 'The image is `grafana/loki:3.7.8`.',
        wrong: 'The image is `grafana/loki:3.7.7`.',
        says: /3\.7\.7 is no version of ours/,
      },
      'a package with another version than ours': {
        right: fence('sh own', 'npm install nestjs-pino@5.2.1'),
        wrong: fence('sh own', 'npm install nestjs-pino@4.0.0'),
        says: /nestjs-pino is 5\.2\.1, not 4\.0\.0/,
      },
      'a path in code': {
        right: 'See `loki-config.yaml` and `src/main.ts`.',
        wrong: 'See `src/tracing.ts`.',
        says: /there is no src\/tracing\.ts/,
      },
      'a name in code that no source has': {
        right: 'The metric `books_created_total{service="backend-example"}`.',
        wrong: 'The metric `books_made_total`.',
        says: /nothing in the repository says books_made_total/,
      },
      'a name of another project': {
        right: '<!-- elsewhere: join_members -->\n\nSet `join_members`.',
        wrong: 'Set `join_members`.',
        says: /nothing in the repository says join_members/,
      },
    };
  for (const [name, { right, wrong, says }] of Object.entries(CASES))
    it(`finds ${name}`, () => {
      const page = right.includes('../') ? 'docs/x.md' : 'README.md';
      assert.match(problems(wrong, page), says);
      assert.equal(problems(right, page), '');
    });

  it('counts blocks, links and names by kind', () => {
    const { blocks, counts } = readPage(
      'README.md',
      fence('promql', 'up') + fence('text answer', '1') + '`npm start` [x](#y)',
    );
    assert.deepEqual(
      blocks.map(({ kind }) => kind),
      ['query', 'answer'],
    );
    assert.deepEqual(counts, {
      'block: query': 1,
      'block: answer': 1,
      'name: npm script': 1,
      'link: anchor': 1,
    });
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
