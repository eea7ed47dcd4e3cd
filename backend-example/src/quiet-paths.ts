const QUIET = ['/metrics', '/faults', '/health/live', '/health/ready'];

/**
 * Whether a request is a health probe, a metrics scrape or about fault injection. They say nothing
 * about users, so they are neither traced, nor measured, nor logged.
 *
 * @param url path with optional query, as in `IncomingMessage.url`
 */
export function isQuietPath(url = '/'): boolean {
  return QUIET.includes(url.split('?', 1)[0]);
}
