import { preparePostgres } from '../native/postgres.ts';
import type { Component } from './component.ts';

/** The address of the books database, as docker-compose.yaml has it but for host and port. */
export const databaseUrl = (port: number): string =>
  `postgres://books:books@127.0.0.1:${port}/books`;

export const postgres: Component = {
  name: 'postgres',
  title: 'PostgreSQL',
  version: ({ POSTGRES_VERSION }) => POSTGRES_VERSION,
  ports: [{ inside: 5432, native: 15432 }], // not 5432: a developer's own PostgreSQL may be there
  wanted: ({ DATABASE_URL }) => !DATABASE_URL,
  prepare: ({ data, port }) => preparePostgres(data, port('postgres', 5432)),
};
