import type { IncomingMessage, ServerResponse } from 'node:http';
import { stdTimeFunctions } from 'pino';
import type { Options } from 'pino-http';
import { isQuietPath } from '../quiet-paths';

// Node's names of headers are lower case; those that a client sets may not be.
const SECRET_HEADERS =
  'authorization cookie set-cookie Authorization Cookie Set-Cookie'.split(' ');

/**
 * Logging for nestjs-pino: JSON lines in production, readable lines otherwise, and one line per
 * request. Inside a request the OpenTelemetry instrumentation of pino adds trace_id and span_id
 * and sends every record over OTLP as well.
 */
export function loggerConfig(env = process.env): { pinoHttp: Options } {
  return {
    pinoHttp: {
      level: env.LOG_LEVEL || 'info',
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      transport:
        env.NODE_ENV === 'production'
          ? undefined
          : { target: 'pino-pretty', options: { singleLine: true } },

      // Whoever logs a request, a response, their headers or the error of an HTTP client must not leak these.
      redact: SECRET_HEADERS.flatMap((name) => [
        `["${name}"]`,
        `headers["${name}"]`,
        `*.headers["${name}"]`,
        `*.*.headers["${name}"]`,
      ]),

      // Do not repeat the request on every line: the trace id leads to it.
      quietReqLogger: true,
      quietResLogger: true,
      genReqId: () => undefined as never,

      autoLogging: { ignore: ({ url }) => isQuietPath(url) },
      customLogLevel: (_request, { statusCode }, error) => {
        if (error || statusCode >= 500) return 'error';
        return statusCode >= 400 ? 'warn' : 'info';
      },
      customSuccessMessage: requestMessage,
      customErrorMessage: requestMessage,
      customSuccessObject: requestAttributes,
      // Without the error: ProblemDetailsFilter has logged it.
      customErrorObject: (request, response, _error, value) =>
        requestAttributes(request, response, value),
    },
  };
}

type ExpressRequest = IncomingMessage & {
  originalUrl?: string;
  route?: { path?: string };
};

function path(request: ExpressRequest): string {
  return (request.originalUrl ?? request.url ?? '/').split('?', 1)[0];
}

/** The pattern that matched; without a match what is left is the wildcard of this middleware. */
function route({ route }: ExpressRequest): string | undefined {
  return route?.path?.startsWith('/') ? route.path : undefined;
}

function requestMessage(
  request: ExpressRequest,
  response: ServerResponse,
): string {
  const outcome = response.writableEnded ? response.statusCode : 'aborted';
  return `${request.method} ${path(request)} ${outcome}`;
}

/** Names from the semantic conventions of OpenTelemetry, except for the duration. */
function requestAttributes(
  request: ExpressRequest,
  response: ServerResponse,
  { responseTime }: { responseTime: number },
) {
  return {
    'http.request.method': request.method,
    'http.route': route(request),
    'url.path': path(request),
    // none was sent when the client went away first
    'http.response.status_code': response.writableEnded
      ? response.statusCode
      : undefined,
    duration_ms: responseTime,
  };
}
