import { resolve } from 'node:path';
import { databaseUrl } from '../../cli/components/postgres.ts';
import { preparePostgres } from '../../cli/native/postgres.ts';
import { ManagedProcess, baseEnvironment } from '../../cli/native/process.ts';

// `node test/support/postgres.ts <folder> <port>`, for the tests of the service: a PostgreSQL of their own
// until SIGTERM; prints its address when it is ready.

const [folder, port] = process.argv.slice(2);
if (!folder || !Number(port)) {
  console.error('usage: node test/support/postgres.ts <folder> <port>');
  process.exit(2);
}
const command = await preparePostgres(resolve(folder), Number(port));
const server = new ManagedProcess(
  'postgres',
  { cwd: '/', env: baseEnvironment(process.env), ...command },
  `${folder}.log`,
);
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => {
    stop.abort();
    void server.stop().then(() => process.exit(0));
  });
void server.whenEnded.then(() => {
  if (!stop.signal.aborted) {
    console.error(`postgres ${server.ended}\n${server.tail()}`);
    process.exit(1);
  }
});
await server.waitUntilReady({ port: Number(port) }, 30_000, stop.signal);
console.log(databaseUrl(Number(port)));
