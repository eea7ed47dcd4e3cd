import { createServer, request, type RequestOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { pinoHttp, type HttpLogger } from 'pino-http';
import { loggerConfig, stackOf } from './logger.config';

type Line = Record<string, unknown>;

/** The configured logger, and what it has written. */
function createLogger(env: NodeJS.ProcessEnv = {}) {
  const lines: Line[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Line);
      done();
    },
  });
  const config = loggerConfig({ NODE_ENV: 'production', ...env });
  return { lines, middleware: pinoHttp(config.pinoHttp, stream) };
}

/** The lines that one request leaves behind. */
async function logOf(
  options: RequestOptions,
  status = 200,
  inside: (log: HttpLogger['logger']) => void = () => undefined,
): Promise<Line[]> {
  const { lines, middleware } = createLogger();
  const server = createServer((req, res) => {
    middleware(req, res);
    inside(middleware.logger);
    res.statusCode = status;
    res.setHeader('set-cookie', 'session=SECRET');
    res.end();
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) =>
    request({ port, host: '127.0.0.1', agent: false, ...options }, (response) =>
      response.resume().on('end', done),
    ).end(),
  );
  await new Promise((closed) => server.close(closed));
  return lines;
}

describe(loggerConfig.name, () => {
  it('writes one line per request, with the path but not the query', async () => {
    expect(
      await logOf({ method: 'POST', path: '/books/create?q=1' }, 201),
    ).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
        msg: 'POST /books/create 201',
        'http.request.method': 'POST',
        'url.path': '/books/create',
        'http.response.status_code': 201,
        duration_ms: expect.any(Number) as number,
      },
    ]);
  });

  it.each([
    [200, 'info'],
    [304, 'info'],
    [400, 'warn'],
    [404, 'warn'],
    [500, 'error'],
    [503, 'error'],
  ])('logs a %d as %s', async (status, level) => {
    const lines = await logOf({ path: '/x' }, status);
    expect(lines).toHaveLength(1);
    expect(lines[0].level).toBe(level);
    expect(lines[0]).not.toHaveProperty('err');
  });

  it.each([['/health/live'], ['/health/ready'], ['/metrics']])(
    'is silent about %s',
    async (path) => expect(await logOf({ path })).toEqual([]),
  );

  it('says that the client went away, and no status: none was sent', async () => {
    const { lines, middleware } = createLogger();
    const server = createServer((req, res) => {
      middleware(req, res);
      res.on('close', () => server.close());
      client.destroy();
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => server.once('listening', listening));
    const { port } = server.address() as AddressInfo;
    const client = request({ port, host: '127.0.0.1', path: '/slow' });
    client.on('error', () => undefined).end();
    await new Promise((closed) => server.once('close', closed));

    expect(lines).toEqual([
      expect.objectContaining({ msg: 'GET /slow aborted' }),
    ]);
    expect(lines[0]).not.toHaveProperty(['http.response.status_code']);
  });

  it('hides secrets from whoever logs a request, a response or headers', () => {
    const { lines, middleware } = createLogger();
    const headers = {
      authorization: 'SECRET',
      cookie: 'SECRET',
      'set-cookie': ['SECRET'],
      accept: 'text/html',
    };
    middleware.logger.info({ req: { headers } });
    middleware.logger.info({ response: { headers } });
    middleware.logger.info({ headers });
    middleware.logger.info(headers);
    middleware.logger.child({ request: { headers } }).info('child');
    expect(lines).toHaveLength(5);
    expect(JSON.stringify(lines)).not.toContain('SECRET');
    expect(lines[2].headers).toEqual({
      authorization: '[Redacted]',
      cookie: '[Redacted]',
      'set-cookie': '[Redacted]',
      accept: 'text/html',
    });
  });

  it.each([['Authorization'], ['COOKIE'], ['sEt-cOOkIe']])(
    'hides a header that is written %s',
    (name) => {
      const { lines, middleware } = createLogger();
      middleware.logger.info({ headers: { [name]: 'SECRET' } });
      expect(lines[0].headers).toEqual({ [name]: '[Redacted]' });
    },
  );

  it.each([['err'], ['error']])(
    'hides the secrets in the error of an HTTP client, logged as %s',
    (key) => {
      const { lines, middleware } = createLogger();
      const headers = { Authorization: 'SECRET', Cookie: 'SECRET', a: 'b' };
      const client = request({ host: '127.0.0.1', port: 1, headers });
      client.on('error', () => undefined).end();
      expect(client).toHaveProperty(
        '_header',
        expect.stringContaining('SECRET'),
      );
      const error = Object.assign(new Error('401'), {
        code: 'ERR_BAD_REQUEST',
        headers,
        config: { headers },
        request: client,
        response: { headers, request: client, config: { headers } },
        toJSON: () => ({ config: { headers } }),
      });
      middleware.logger.error({ [key]: error });
      middleware.logger.error({ request: client });
      expect(lines).toHaveLength(2);
      expect(JSON.stringify(lines)).not.toContain('SECRET');
      expect(lines[0][key]).toMatchObject({
        code: 'ERR_BAD_REQUEST',
        headers: { Authorization: '[Redacted]', a: 'b' },
      });
    },
  );

  it('keeps what an error says about itself', () => {
    const { lines, middleware } = createLogger();
    const refused = Object.assign(new Error('refused'), { port: 5432 });
    const err = Object.assign(new AggregateError([refused]), { code: 'E' });
    middleware.logger.error({ err });
    expect(lines[0].err).toEqual({
      type: 'AggregateError',
      message: '',
      stack: `${err.stack}\ncaused by: ${refused.stack}`,
      code: 'E',
      aggregateErrors: [
        { type: 'Error', message: 'refused', stack: refused.stack, port: 5432 },
      ],
    });
  });

  it('says no more of a path than helps, and counts unknown methods as one', async () => {
    const path = `/${'x'.repeat(5000)}?q=1`;
    const shown = `/${'x'.repeat(254)}…`;
    expect(await logOf({ method: 'PROPFIND', path }, 404)).toEqual([
      expect.objectContaining({
        msg: `PROPFIND ${shown} 404`,
        'http.request.method': '_OTHER',
        'url.path': shown,
      }),
    ]);
  });

  it('hides the secrets of a real request and response', async () => {
    const lines = await logOf(
      { path: '/x', headers: { authorization: 'SECRET', cookie: 'SECRET' } },
      200,
      (log) => log.info('inside'),
    );
    expect(lines.map(({ msg }) => msg)).toEqual(['inside', 'GET /x 200']);
    expect(JSON.stringify(lines)).not.toContain('SECRET');
  });

  it('keeps text from users inside its JSON string', () => {
    const { lines, middleware } = createLogger();
    const title = '"}\n{"level":"fatal","msg":"forged\u001b[2J"}';
    middleware.logger.info({ title }, title);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 'info', title, msg: title });
  });

  it('follows LOG_LEVEL', () => {
    const { lines, middleware } = createLogger({ LOG_LEVEL: 'warn' });
    middleware.logger.info('no');
    middleware.logger.warn('yes');
    expect(lines.map(({ msg }) => msg)).toEqual(['yes']);
  });

  it('is for people to read unless in production', () => {
    const transport = (NODE_ENV?: string) =>
      loggerConfig({ NODE_ENV }).pinoHttp;
    expect(transport()).toHaveProperty('transport.target', 'pino-pretty');
    expect(transport('production')).toHaveProperty('transport', undefined);
  });
});

describe(stackOf.name, () => {
  it('has the stacks of all causes, from the outside to the inside', () => {
    const inner = new Error('inner', { cause: 'a text' });
    const middle = new AggregateError([new TypeError('side')], 'middle', {
      cause: inner,
    });
    const outer = new Error('outer', { cause: middle });
    const side = middle.errors[0] as Error;
    expect(stackOf(outer)).toBe(
      [outer.stack, middle.stack, inner.stack, side.stack, 'a text'].join(
        '\ncaused by: ',
      ),
    );
  });

  it('ends where errors are their own causes, or very many', () => {
    const a = new Error('a');
    const b = new Error('b', { cause: a });
    a.cause = b;
    expect(stackOf(a)).toBe(`${a.stack}\ncaused by: ${b.stack}`);

    let last: Error | undefined;
    for (let i = 10_000; i > 0; i--) {
      last = new Error(`${i}`, { cause: last });
      last.stack = `Error: ${i}`;
    }
    expect(stackOf(last!)).toMatch(/^Error: 1\ncaused by: Error: 2\n/);
    expect(stackOf(last!)).toMatch(/\ncaused by: Error: 20$/);
  });

  it('is cut with a mark, and does not look into other objects', () => {
    const long = new Error('x'.repeat(20_000), { cause: { secret: 'S' } });
    expect(stackOf(long)).toHaveLength(16_384);
    expect(stackOf(long)).toMatch(/^Error: x+…$/);
    expect(stackOf(new Error('', { cause: { secret: 'S' } }))).not.toContain(
      'caused by',
    );
  });
});
