import type { ClientConfig, PoolConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { readEnv } from '../env';

/**
 * How to connect.
 *
 * The url is taken apart because the telemetry of pg reads host, port and database from these
 * fields to name the database and its pool.
 */
export function connectionConfig(env = process.env): ClientConfig {
  return {
    ...parseIntoClientConfig(readEnv(env).databaseUrl),
    application_name: 'backend-example',
    connectionTimeoutMillis: 3000,
  };
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
