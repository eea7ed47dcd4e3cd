import type { IncomingMessage, ServerResponse } from 'node:http';
import { isNativeError } from 'node:util/types';
import { stdSerializers, stdTimeFunctions } from 'pino';
import type { Options } from 'pino-http';
import { readEnv } from '../env';
import { isQuietPath } from '../quiet-paths';

// In `_header` Node keeps the headers of a message as text.
const SECRETS = ['authorization', 'cookie', 'set-cookie', '_header'];

/**
 * Logging for nestjs-pino: JSON lines in production, readable lines otherwise, and one line per
 * request. Inside a request the OpenTelemetry instrumentation of pino adds trace_id and span_id
 * and sends every record over OTLP as well.
 */
export function loggerConfig(env = process.env): { pinoHttp: Options } {
  const { logLevel, production } = readEnv(env);
  return {
    pinoHttp: {
      level: logLevel,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      transport: production
        ? undefined
        : { target: 'pino-pretty', options: { singleLine: true } },

      // Whoever logs headers, a request, a response or an error must not leak secrets. A serializer
      // costs nothing on lines without its key; a redact path with a wildcard costs on every line.
      redact: SECRETS.map((name) => `["${name}"]`),
      serializers: {
        headers: withoutSecrets,
        req: withoutSecrets,
        res: withoutSecrets,
        request: withoutSecrets,
        response: withoutSecrets,
        err: serializeError,
        error: (error: Error) => serializeError(stdSerializers.err(error)),
        // Do not repeat the request on every line: the trace id leads to it.
        reqId: () => undefined,
      },
      quietReqLogger: true,
      quietResLogger: true,

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

/**
 * The plain values of a request, a response or an error, and its headers with the secret ones hidden.
 * Other objects are left out: the error of an HTTP client holds its request again, in several places.
 */
function withoutSecrets(value: unknown): unknown {
  if (Object(value) !== value) return value;
  if (Array.isArray(value)) return value.map(withoutSecrets);
  const kept: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value as object)) {
    if (SECRETS.includes(name.toLowerCase())) kept[name] = '[Redacted]';
    else if (
      Object(item) !== item ||
      ['headers', 'aggregateErrors'].includes(name)
    )
      kept[name] = withoutSecrets(item);
  }
  return kept;
}

/** What pino makes of an error, whose `stack` lacks the errors that an AggregateError stands for. */
function serializeError(value: unknown): unknown {
  const kept = withoutSecrets(value);
  const { raw } = Object(value) as { raw?: unknown };
  return isNativeError(raw) ? { ...Object(kept), stack: stackOf(raw) } : kept;
}

/** In characters: as long as an attribute may be, see instrumentation.ts. */
const LONGEST_STACK = 16_384;

/**
 * The stack of an error and of everything that it was caused by: `cause`, whose own cause, and the
 * `errors` of an AggregateError. Of 20 errors at most, and 16,384 characters.
 */
export function stackOf(error: Error): string {
  const found = new Set<unknown>([error]);
  // A loop over a set also visits what is added meanwhile.
  for (const one of found) {
    const { cause, errors } = Object(one) as {
      cause?: unknown;
      errors?: unknown;
    };
    for (const nested of [cause, ...(Array.isArray(errors) ? errors : [])])
      // Other objects may hold anything, secrets included.
      if (isNativeError(nested) || typeof nested === 'string')
        if (found.size < 20) found.add(nested);
  }
  const stacks = [...found].map((one) =>
    isNativeError(one) ? (one.stack ?? String(one)) : String(one),
  );
  return cut(stacks.join('\ncaused by: '), LONGEST_STACK);
}

/** The beginning of a long text, and a mark. */
function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

type ExpressRequest = IncomingMessage & {
  originalUrl?: string;
  route?: { path?: string };
};

/** Without the query, and no more of it than helps: anybody can send 16 kB. */
function path(request: ExpressRequest): string {
  return cut((request.originalUrl ?? request.url ?? '/').split('?', 1)[0], 256);
}

// Those that the semantic conventions know. Node.js takes some thirty, down to UNBIND.
const METHODS =
  'CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE'.split(' ');

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
    'http.request.method': METHODS.includes(request.method ?? '')
      ? request.method
      : '_OTHER',
    'http.route': route(request),
    'url.path': path(request),
    // none was sent when the client went away first
    'http.response.status_code': response.writableEnded
      ? response.statusCode
      : undefined,
    duration_ms: responseTime,
  };
}
