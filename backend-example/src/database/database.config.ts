import type { ClientConfig, PoolConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';

/**
 * How to connect: `DATABASE_URL`, by default a local database called books.
 *
 * The url is taken apart because the telemetry of pg reads host, port and database from these
 * fields to name the database and its pool.
 */
export function connectionConfig(env = process.env): ClientConfig {
  const url = env.DATABASE_URL || 'postgres://books:books@localhost:5432/books';
  try {
    // pg takes any other text for the name of a local database.
    if (!/^postgres(ql)?:\/\//.test(url)) throw new Error('no such scheme');
    return {
      ...parseIntoClientConfig(url),
      application_name: 'backend-example',
      connectionTimeoutMillis: 3000,
    };
  } catch {
    // The original message repeats the url, which holds a password.
    throw new Error(
      'DATABASE_URL is not a valid address; it should look like postgres://user:password@host:5432/database',
    );
  }
}

/** The pool's settings. All times in milliseconds. */
export function poolConfig(env = process.env): PoolConfig {
  return {
    ...connectionConfig(env),
    max: 10,
    // Postgres gives up first; the client's own limit is for a server that went silent.
    statement_timeout: 5000,
    query_timeout: 6000,
  };
}
