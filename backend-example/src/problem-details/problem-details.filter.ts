import {
  ArgumentsHost,
  Catch,
  ExceptionFilter,
  HttpException,
  Logger,
} from '@nestjs/common';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import type { Response } from 'express';
import {
  codeOf,
  isDatabaseUnavailable,
} from '../database/database-unavailable';
import { stackOf } from '../logger/logger.config';
import {
  InvalidRequestException,
  type InvalidField,
} from './invalid-request.exception';
import { PROBLEM_JSON, toProblemJson } from './problem-details';

/**
 * Answers every error as problem details (RFC 9457).
 *
 * What the code throws on purpose keeps its status and message. A lost database is a 503 and
 * anything else a 500: those two are logged with their stack and recorded on the request's span,
 * and the client learns nothing about their cause.
 */
@Catch()
export class ProblemDetailsFilter implements ExceptionFilter {
  private readonly logger = new Logger(ProblemDetailsFilter.name);

  catch(exception: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    const [status, detail, errors] = toProblem(exception);

    if (status >= 500 && !(exception instanceof HttpException)) {
      const error =
        exception instanceof Error ? exception : new Error(String(exception));
      // When both addresses of localhost refuse, Node's error has an empty message.
      this.logger.error({ err: error }, error.message || detail);
      const span = trace.getActiveSpan();
      // The SDK would take the error's own stack only.
      span?.recordException({
        code: codeOf(error),
        name: error.name,
        message: error.message,
        stack: stackOf(error),
      });
      span?.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    }

    if (response.headersSent) {
      // Too late for another answer: cut the connection, so that the client notices.
      response.destroy();
      return;
    }
    response
      .status(status)
      .type(PROBLEM_JSON)
      .send(toProblemJson(status, detail, errors));
  }
}

/** The arguments of toProblemJson. */
function toProblem(
  exception: unknown,
): [status: number, detail: string, errors?: InvalidField[]] {
  if (exception instanceof InvalidRequestException) {
    return [400, exception.message, exception.errors];
  }
  if (exception instanceof HttpException) {
    return [exception.getStatus(), exception.message];
  }
  if (isRefusedByExpress(exception)) {
    return [exception.status, exception.message];
  }
  if (isDatabaseUnavailable(exception)) {
    return [503, 'The database is not available, try again later'];
  }
  return [500, 'The server could not process the request'];
}

/** Errors of Express and its body parser carry the 4xx status that they stand for. */
function isRefusedByExpress(
  exception: unknown,
): exception is Error & { status: number } {
  return (
    exception instanceof Error &&
    'status' in exception &&
    typeof exception.status === 'number' &&
    exception.status >= 400 &&
    exception.status < 500
  );
}
