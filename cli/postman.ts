import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileFunction } from 'node:vm';
import { expect } from 'chai'; // what pm.expect is in Postman
import { reasonOf } from './checks.ts';
import type { Context } from './context.ts';
import { requireService } from './diagnosis/diagnosis.ts';
import { ROOT } from './paths.ts';
import { Stores } from './stores.ts';

/** The collection as Postman exports it, as far as it is used here. Those in a folder inherit its events. */
export interface Item {
  name: string;
  event?: { listen: 'prerequest' | 'test'; script: { exec: string[] } }[];
  /** Of a folder. */
  item?: Item[];
  variable?: Value[];
  /** Of a request. */
  request?: {
    method: string;
    header: Value[];
    url: { host: string[]; path: string[]; query?: Value[]; variable?: Value[] };
    body?: { mode: string; raw: string };
  };
  /** Examples of its answer; the first one is compared. */
  response?: { code: number; body: string }[];
}
type Value = { key: string; value: string };

const COLLECTION = 'postman/books.postman_collection.json';
const ENVIRONMENT = 'postman/local.postman_environment.json';
const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as unknown;

/**
 * `npm run postman`: sends every request of the Postman collection to the running service. Runs the tests
 * that Postman runs, and compares each answer with its example; 1 when something is not as expected.
 */
export async function postman(context: Context): Promise<number> {
  await requireService(context);
  const environment = valuesOf((read(ENVIRONMENT) as { values: Value[] }).values);
  environment.set('baseUrl', new Stores(context).books); // at the port of this stack
  return sendAll(context, read(COLLECTION) as Item, environment);
}

/** Sends the requests of a collection, in order, and prints what became of each; 1 when a check failed. */
export async function sendAll(
  context: Pick<Context, 'fetch' | 'print'>,
  collection: Item,
  environment: Map<string, string>,
): Promise<number> {
  const collectionVariables = valuesOf(collection.variable);
  const count = { requests: 0, checks: 0, failed: 0 };

  async function send(item: Item, parents: Item[]): Promise<void> {
    const own = [...parents, item];
    if (!item.request) {
      if (parents.length > 0) context.print(`\n${item.name}`);
      for (const child of item.item ?? []) await send(child, own);
      return;
    }
    const failures: string[] = [];
    const check = (name: string, holds: () => void) => {
      count.checks++;
      try {
        holds();
      } catch (error) {
        failures.push(`${name}: ${reasonOf(error)}`);
      }
    };
    const variables = new Map<string, string>();
    const scopes = [variables, environment, collectionVariables]; // the first that has it
    const run = (when: 'prerequest' | 'test', pm: object) => {
      for (const { name, event = [] } of own)
        for (const { listen, script } of event)
          if (listen === when)
            compileFunction(script.exec.join('\n'), ['pm'], { filename: `${name} (${when})` })(pm);
    };
    count.requests++;
    let answered = '';
    try {
      const pm = { variables, environment, collectionVariables, expect, test: check };
      run('prerequest', pm);
      const { url, init } = requestOf(item.request, scopes);
      const response = await context.fetch(url, { ...init, signal: AbortSignal.timeout(10_000) });
      const code = response.status;
      const body = await response.text();
      answered = String(code);
      run('test', {
        ...pm,
        request: { url: { getPath: () => new URL(url).pathname } },
        response: {
          code,
          headers: { get: (name: string) => response.headers.get(name) ?? undefined },
          text: () => body,
          json: () => JSON.parse(body) as unknown,
          to: { have: { status: (wanted: number) => expect(code).to.equal(wanted) } },
        },
        visualizer: { set() {} },
      });
      const [example] = item.response ?? [];
      check('is like its example', () =>
        assert.deepEqual(
          { code, body: withoutNumbers(body) },
          example && { code: example.code, body: withoutNumbers(example.body) },
        ),
      );
    } catch (error) {
      check('can be sent and tested', () => {
        throw error;
      });
    }
    count.failed += failures.length;
    context.print(`${failures.length > 0 ? '✘' : '✔'} ${item.name.padEnd(36)} ${answered}`);
    for (const failure of failures) context.print(failure.replace(/^(?=.)/gm, '    '));
  }

  await send(collection, []);
  context.print(`\n${count.requests} requests, ${count.checks} checks, ${count.failed} failed`);
  return count.failed > 0 ? 1 : 0;
}

const valuesOf = (list: Value[] = []): Map<string, string> =>
  new Map(list.map(({ key, value }) => [key, value]));

/** What is sent: `{{name}}` becomes the value of a variable, `:name` in the path that of the request's own. */
function requestOf(
  { method, header, url, body }: NonNullable<Item['request']>,
  scopes: Map<string, string>[],
): { url: string; init: RequestInit } {
  const fill = (text: string) =>
    text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
      const scope = scopes.find((one) => one.has(name));
      if (!scope) throw new Error(`{{${name}}} has no value`);
      return String(scope.get(name));
    });
  const own = valuesOf(url.variable);
  const path = url.path.map((part) =>
    fill((part.startsWith(':') && own.get(part.slice(1))) || part),
  );
  const query = (url.query ?? []).map(({ key, value }) => `${key}=${fill(value)}`).join('&');
  if (body && body.mode !== 'raw')
    throw new Error(`a body of the mode ${body.mode} is not sent here`);
  return {
    url: `${fill(url.host.join('.'))}/${path.join('/')}${query && `?${query}`}`,
    init: {
      method,
      headers: header.map(({ key, value }) => [key, fill(value)]),
      body: body && fill(body.raw),
    },
  };
}

/** A body as its example can have it, too: ids and dates are others each time. */
const withoutNumbers = (body: string): unknown =>
  body && (JSON.parse(body.replace(/\d+/g, '0')) as unknown);
