import type { Pool, QueryResult } from 'pg';
import type { FaultsService } from './faults.service';

/** Lets the SELECTs of a request with the fault slowSqlMs take so much longer, in the database itself. */
export function slowDownSelects(pool: Pool, faults: FaultsService): void {
  const query = pool.query.bind(pool) as (
    sql: string,
    values?: unknown[],
  ) => Promise<QueryResult>;
  pool.query = ((sql: string, values?: unknown[]) => {
    const milliseconds = faults.ofRequest.getStore()?.slowSqlMs ?? 0;
    return query(milliseconds ? slowSelect(sql, milliseconds) : sql, values);
  }) as Pool['query'];
}

/** The same rows, later. Other statements stay as they are. */
export function slowSelect(sql: string, milliseconds: number): string {
  return /^\s*SELECT\b/i.test(sql)
    ? `SELECT rows.* FROM (SELECT pg_sleep(${milliseconds / 1000})) AS fault, LATERAL (${sql}) AS rows`
    : sql;
}
