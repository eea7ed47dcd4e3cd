import { isNativeError } from 'node:util/types';

/** Socket errors of Node.js that mean "nobody answers there". */
const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
]);

/** SQLSTATE classes: connection exception, resources, operator intervention (a shutdown, a time-out). */
const SQLSTATE = /^(08|53|57)/;

/** What pg and pg-pool throw without any code. */
const MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|timeout expired|Client has encountered a connection error|Cannot use a pool after calling end)/;

/**
 * Whether an error means that the database cannot be used at the moment, as opposed to a query
 * that is wrong. A socket error does not say whose socket it was: a service that also calls others over
 * HTTP has to catch their errors where it calls. Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function isDatabaseUnavailable(error: unknown): error is Error {
  if (!isNativeError(error)) return false;
  const code = codeOf(error);
  return (
    NETWORK_CODES.has(code) ||
    (code.length === 5 && SQLSTATE.test(code)) ||
    MESSAGES.test(error.message)
  );
}

/** The code of a Node.js or PostgreSQL error, '' if it has none. */
export function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}
