import type { NestExpressApplication } from '@nestjs/platform-express';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Pool } from 'pg';
import request from 'supertest';
import { createApp } from '../src/app';
import { connectionConfig } from '../src/database/database.config';
import { migrate } from '../src/database/migrate';
import { eventually } from './support/eventually';

const direct = process.env.DATABASE_URL!;

/** The database behind a door that can be shut. */
async function startDoor() {
  const target = new URL(direct);
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((incoming) => {
    if (!open) return void incoming.destroy();
    const outgoing = connect(Number(target.port), target.hostname);
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        incoming.destroy();
        outgoing.destroy();
      });
    }
    incoming.pipe(outgoing).pipe(incoming);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(direct);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  const shut = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    shut,
    open: () => (open = true),
    close: () => {
      shut();
      server.close();
    },
  };
}

describe('a lost database', () => {
  let door: Awaited<ReturnType<typeof startDoor>>;
  let app: NestExpressApplication;
  let agent: request.Agent;

  beforeAll(async () => {
    door = await startDoor();
    process.env.DATABASE_URL = door.url;
    app = await createApp();
    await app.listen(0, '127.0.0.1');
    agent = request.agent(app.getHttpServer());
  });
  afterAll(async () => {
    process.env.DATABASE_URL = direct;
    await app.close();
    door.close();
  });

  it('is a 503 as long as it lasts, and nothing after', async () => {
    await agent.get('/books/find').expect(200);

    door.shut();
    // The pool hears of its lost connections a moment later; either way it is a 503.
    for (let attempt = 0; attempt < 3; attempt++) {
      await agent
        .post('/books/create')
        .send({ title: 'T', author: 'A' })
        .expect('content-type', 'application/problem+json; charset=utf-8')
        .expect(503, {
          type: 'about:blank',
          title: 'Service Unavailable',
          status: 503,
          detail: 'The database is not available, try again later',
        });
    }
    await agent.get('/health/ready').expect(503, {
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      detail: 'The database does not answer',
    });
    await agent.get('/health/live').expect(200);

    door.open();
    await eventually(() => agent.get('/health/ready').expect(200));
    await agent.get('/books/find').expect(200);
  });
});

describe('migrations', () => {
  const name = `migrations_${process.pid}`;
  const admin = new Pool({ connectionString: direct, max: 1 });
  const config = { ...connectionConfig(), database: name };

  beforeAll(() => admin.query(`CREATE DATABASE ${name}`));
  afterAll(async () => {
    await admin.query(`DROP DATABASE ${name}`);
    await admin.end();
  });

  it('run once when instances start together', async () => {
    await Promise.all([migrate(config), migrate(config), migrate(config)]);

    const pool = new Pool({ ...config, max: 1 });
    const { rows } = await pool.query('SELECT name FROM migrations');
    await pool.query(`INSERT INTO books (title, author) VALUES ('T', 'A')`);
    await migrate(config);
    const books = await pool.query('SELECT id, title FROM books');
    await pool.end();

    expect(rows).toEqual([{ name: '001_create-books' }]);
    expect(books.rows).toEqual([{ id: 1, title: 'T' }]);
  });
});
