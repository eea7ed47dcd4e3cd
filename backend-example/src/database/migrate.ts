import { Logger } from '@nestjs/common';
import { runner } from 'node-pg-migrate';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import { codeOf, isDatabaseUnavailable } from './database-unavailable';

const MIGRATIONS = join(__dirname, '../../migrations');
const logger = new Logger('Database');

/**
 * Brings the tables up to date, waiting for a database that is still starting.
 *
 * @param patience how long to wait for the database, in milliseconds
 * @param pause time between two tries, in milliseconds
 * @throws Error saying what to check when the database cannot be reached, or the error of the
 *   migration that failed
 */
export async function migrate(
  config: ClientConfig,
  patience = 30_000,
  pause = 2000,
): Promise<void> {
  const database = `${config.host}:${config.port ?? 5432}/${config.database}`;
  const deadline = Date.now() + patience;
  for (;;) {
    try {
      const applied = await applyMigrations(config);
      for (const name of applied) logger.log(`Migration ${name} applied`);
      return;
    } catch (error) {
      if (!isDatabaseUnavailable(error)) throw error;
      const reason = error.message || codeOf(error);
      const left = Math.round((deadline - Date.now()) / 1000);
      if (left <= 0) {
        throw new Error(
          `Cannot reach the database ${database}: ${reason}. Check that Postgres is running and that DATABASE_URL names it.`,
        );
      }
      logger.warn(
        `The database ${database} does not answer (${reason}), trying for another ${left} s`,
      );
      await sleep(pause);
    }
  }
}

async function applyMigrations(config: ClientConfig): Promise<string[]> {
  // A connection of its own: the pool's statement timeout would cut a long migration short.
  const client = new Client(config);
  // Without a listener a lost connection would end the process; the query rejects anyway.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const applied = await runner({
      dbClient: client,
      dir: MIGRATIONS,
      direction: 'up',
      migrationsTable: 'migrations',
      // Instances that start together take turns.
      advisoryLockMode: 'wait',
      log: () => undefined,
    });
    return applied.map(({ name }) => name);
  } finally {
    await client.end().catch(() => undefined);
  }
}
