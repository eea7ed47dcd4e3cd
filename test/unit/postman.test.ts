import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sendAll, type Item } from '../../cli/postman.ts';
import { freePorts } from '../support/native-stack.ts';

type Script = { prerequest?: string; test?: string };
const events = (scripts: Script): Item['event'] =>
  Object.entries(scripts).map(([listen, text]) => ({
    listen: listen as 'prerequest' | 'test',
    script: { exec: [text] },
  }));

/** A request that creates a book, and what it is answered. */
const create = (scripts: Script, response?: Item['response']): Item => ({
  name: 'Create',
  event: events(scripts),
  request: {
    method: 'POST',
    header: [{ key: 'X-Size', value: '{{size}}' }],
    url: {
      host: ['{{baseUrl}}'],
      path: ['books', ':id'],
      query: [{ key: 'after', value: '{{bookId}}' }],
      variable: [{ key: 'id', value: '{{bookId}}' }],
    },
    body: { mode: 'raw', raw: '{"title": "{{title}}"}' },
  },
  response: response ?? [{ code: 201, body: '{"id": 7}' }],
});
const usual: Script = { prerequest: "pm.variables.set('size', 'small')" };

/** What is sent and printed for these requests, by a service that answers each with this. */
async function run(
  item: Item[],
  answer = { status: 201, body: '{"id": 1}' },
  baseUrl = 'http://b',
) {
  const sent: unknown[] = [];
  const lines: string[] = [];
  const code = await sendAll(
    {
      fetch: async (url, { method, headers, body } = {}) => {
        sent.push([url, method, headers, body]);
        return new Response(answer.body, {
          status: answer.status,
          headers: { 'X-Trace-Id': 'abc' },
        });
      },
      print: (line = '') => void lines.push(line),
    },
    { name: 'all', variable: [{ key: 'bookId', value: '1' }], item },
    new Map([
      ['baseUrl', baseUrl],
      ['title', 'Solaris'],
    ]),
  );
  return { code, sent, output: lines.join('\n') };
}

describe('npm run postman', () => {
  it('sends the requests in order, with the variables that scripts set before', async () => {
    const stores = "pm.collectionVariables.set('bookId', pm.response.json().id + 1)";
    const { code, sent, output } = await run([
      {
        name: 'Books',
        event: events(usual), // of the folder: each request inherits it
        item: [create({ test: stores }), create({ prerequest: "pm.variables.set('size', 'big')" })],
      },
    ]);
    assert.equal(code, 0, output);
    assert.deepEqual(sent, [
      ['http://b/books/1?after=1', 'POST', [['X-Size', 'small']], '{"title": "Solaris"}'],
      ['http://b/books/2?after=2', 'POST', [['X-Size', 'big']], '{"title": "Solaris"}'],
    ]);
    assert.match(
      output,
      /^\nBooks\n✔ Create +201\n✔ Create +201\n\n2 requests, 2 checks, 0 failed$/,
    );
  });

  it('gives the tests what they ask of an answer', async () => {
    const { code, output } = await run([
      create({
        ...usual,
        test: `
          pm.test('status', () => pm.response.to.have.status(201));
          pm.test('code', () => pm.expect(pm.response.code).to.eql(201));
          pm.test('headers', () => {
            pm.expect(pm.response.headers.get('x-trace-id')).to.eql('abc');
            pm.expect(pm.response.headers.get('X-None')).to.eql(undefined);
          });
          pm.test('body', () => pm.expect(JSON.parse(pm.response.text())).to.eql(pm.response.json()));
          pm.test('path', () => pm.expect(pm.request.url.getPath()).to.eql('/books/1'));
          pm.visualizer.set('<a>');`,
      }),
    ]);
    assert.equal(code, 0, output);
    assert.match(output, /1 requests, 6 checks, 0 failed$/);
  });

  const tests = (test: string) => create({ ...usual, test });
  for (const [what, item, says, answer] of [
    [
      'a test fails',
      tests("pm.test('has an id', () => pm.expect(pm.response.json().id).to.eql(2))"),
      /has an id: expected 1 to deeply equal 2/,
    ],
    [
      'the status is another',
      create(usual),
      /is like its example: .*\+ +code: 200\n.*- +code: 201\n/s,
      { status: 200, body: '{"id": 1}' },
    ],
    [
      'the body has another key',
      create(usual),
      /is like its example: .*\+ +key: 0.*- +id: 0/s,
      { status: 201, body: '{"key": 1}' },
    ],
    ['there is no example', create(usual, []), /is like its example: /],
    [
      'a script asks for what is not there',
      tests('pm.sendRequest()'),
      /pm\.sendRequest is not a function/,
    ],
    ['a variable has no value', create({}), /can be sent and tested: \{\{size\}\} has no value/],
  ] as const)
    it(`ends with 1 when ${what}, and goes on`, async () => {
      const { code, output } = await run(
        [item, create(usual, [{ code: answer?.status ?? 201, body: answer?.body ?? '{"id": 1}' }])],
        answer,
      );
      assert.equal(code, 1);
      assert.match(output, says);
      assert.match(
        output,
        /^✘ Create .*\n(?: .*\n|\n)*✔ Create +\d+\n\n2 requests, \d+ checks, 1 failed$/,
      );
    });

  it('says that nobody answers', async () => {
    const lines: string[] = [];
    const print = (line = '') => void lines.push(line);
    const { BOOKS_PORT } = await freePorts();
    const nobody = new Map([['baseUrl', `http://127.0.0.1:${BOOKS_PORT}`]]);
    const request = { method: 'GET', header: [], url: { host: ['{{baseUrl}}'], path: ['books'] } };
    const code = await sendAll({ fetch, print }, { name: 'Get', request }, nobody);
    assert.equal(code, 1);
    assert.match(lines.join('\n'), /^✘ Get +\n    can be sent and tested: ECONNREFUSED$/m);
  });
});
