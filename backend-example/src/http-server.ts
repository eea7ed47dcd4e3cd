import { ExpressAdapter } from '@nestjs/platform-express';
import { metrics } from '@opentelemetry/api';
import {
  createServer,
  STATUS_CODES,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { PROBLEM_JSON, toProblemJson } from './problem-details/problem-details';

/** In milliseconds, bytes and numbers. How many requests one client may send is a matter of a proxy in front. */
export const LIMITS = {
  /** Until the headers are there; also how long a connection may wait for its first request. */
  headersTimeout: 10_000,
  /** Until the body is there. */
  requestTimeout: 20_000,
  /**
   * Without a byte in either direction; twice that for an answer that nobody reads. A request that
   * waits for a connection to the database and for its statement, with the longest fault, takes 19 s.
   */
  timeout: 20_000,
  /** How often the first two are checked; Node.js left alone does so every 30 s. */
  connectionsCheckingInterval: 1_000,
  /** The first line and all headers together. */
  maxHeaderSize: 16 * 1024,
  /** Open at the same time: each costs some 10 kB. */
  connections: 10_000,
  /** Sent over one connection before the first is answered (pipelining): all are begun at once. */
  requestsInFlight: 16,
};

/** What Node.js calls an error of its HTTP parser, and what to answer. */
const REFUSALS: Record<string, [status: number, detail: string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [
    408,
    `Send the headers within ${LIMITS.headersTimeout / 1000} s and the whole request within ${LIMITS.requestTimeout / 1000} s`,
  ],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The chunk extensions are too long'],
  HPE_HEADER_OVERFLOW: [
    431,
    `The first line and the headers may have ${LIMITS.maxHeaderSize / 1024} KiB together`,
  ],
};

/**
 * Express on a server of Node.js with limits, which answers what it refuses with problem details,
 * too: Node.js itself answers without a body, and Express with a page in HTML.
 */
export class LimitedExpressAdapter extends ExpressAdapter {
  override initHttpServer(): void {
    const express = this.getInstance<RequestListener>();
    const server = createServer(
      { ...LIMITS, requireHostHeader: false },
      (request, response) => {
        if (!mayBegin(request.socket, response)) return;
        tellTheTruthAboutAborts(response);
        const detail = objectionTo(request);
        if (detail) refuse(response, 400, detail);
        else express(request, response);
      },
    );
    server.timeout = LIMITS.timeout;
    server.maxConnections = LIMITS.connections;
    server.on('checkExpectation', (_request, response) => {
      refuse(response, 417, 'Only "Expect: 100-continue" is supported');
    });
    // These have not become a request: no span, no line and no http.server.request.duration.
    const refused = metrics
      .getMeter('backend-example')
      .createCounter('http_server_refused', {
        description: 'What was no request of HTTP/1.1, or not sent in time',
      });
    server.on('clientError', (error: ParserError, socket: Socket) => {
      const status = cutOff(error, socket as HttpSocket);
      if (status) refused.add(1, { 'http.response.status_code': status });
    });
    this.httpServer = server;
  }
}

const requestsInFlight = new WeakMap<Socket, number>();

/** Counts the requests of a connection, and ends it when there are too many at once. */
function mayBegin(socket: Socket, response: ServerResponse): boolean {
  const count = (by: number) => {
    const sum = (requestsInFlight.get(socket) ?? 0) + by;
    requestsInFlight.set(socket, sum);
    return sum;
  };
  response.once('close', () => count(-1));
  if (count(1) > LIMITS.requestsInFlight) socket.destroy();
  return !socket.destroyed;
}

/** Nobody was answered when the client went away first, though Node.js begins with a status of 200. */
function tellTheTruthAboutAborts(response: ServerResponse): void {
  // Before telemetry looks at it. 499: as nginx counts it.
  response.prependOnceListener('close', () => {
    if (!response.headersSent && response.statusCode === 200)
      response.statusCode = 499;
  });
}

/** Why a request is not for Express, which would not find out; undefined if it is. */
function objectionTo(request: IncomingMessage): string | undefined {
  // Node.js also takes 0.9 and 2.0, without a word.
  if (!['1.0', '1.1'].includes(request.httpVersion))
    return 'This service speaks HTTP/1.1';

  const hosts = request.headersDistinct.host?.length ?? 0;
  if (hosts > 1 || (hosts === 0 && request.httpVersion === '1.1'))
    return 'Send one Host header';

  // The absolute form, as for a proxy: the path is what counts (RFC 9112, section 3.2.2).
  if (/^[^/*]/.test(request.url!)) {
    if (!/^https?:\/\//i.test(request.url!) || !URL.canParse(request.url!))
      return 'The address is not valid';
    const { pathname, search } = new URL(request.url!);
    request.url = pathname + search;
  }
  return undefined;
}

function refuse(
  response: ServerResponse,
  status: number,
  detail: string,
): void {
  const body = toProblemJson(status, detail);
  response.writeHead(status, headersOf(body)).end(body);
}

const headersOf = (body: string) => ({
  'Content-Type': PROBLEM_JSON,
  'Content-Length': Buffer.byteLength(body),
  Connection: 'close',
});

/** `reason`: a sentence of the parser, without anything that the client has sent. */
type ParserError = Error & { code?: string; reason?: string };

/** `_httpMessage`: the answer that is due; Node.js itself asks for it at this place. */
type HttpSocket = Socket & { _httpMessage?: ServerResponse };

/**
 * Answers what cannot be parsed or does not come in time, and closes the connection.
 * @returns the status, also where an answer that has begun forbids to send it; undefined when there
 * is nobody to be answered
 */
function cutOff(error: ParserError, socket: HttpSocket): number | undefined {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return undefined;
  }
  const [status, detail] = REFUSALS[error.code ?? ''] ?? [
    400,
    `This is not a valid request of HTTP/1.1: ${error.reason ?? error.message}`,
  ];
  const due = socket._httpMessage;
  if (due?.headersSent !== true) {
    if (due) due.statusCode = status; // for its span and its log line
    const body = toProblemJson(status, detail);
    const headers = Object.entries(headersOf(body));
    socket.write(
      [
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
        ...headers.map(([name, value]) => `${name}: ${value}`),
        '',
        body,
      ].join('\r\n'),
    );
  }
  socket.destroySoon();
  return status;
}
