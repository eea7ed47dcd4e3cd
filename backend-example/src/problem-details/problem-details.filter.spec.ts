import {
  type ArgumentsHost,
  BadRequestException,
  Logger,
  NotFoundException,
  ServiceUnavailableException,
} from '@nestjs/common';
import { InvalidRequestException } from './invalid-request.exception';
import { ProblemDetailsFilter } from './problem-details.filter';

function answer(exception: unknown, headersSent = false) {
  const response = {
    headersSent,
    status: jest.fn().mockReturnThis(),
    type: jest.fn().mockReturnThis(),
    send: jest.fn().mockReturnThis(),
    destroy: jest.fn(),
  };
  const host = { switchToHttp: () => ({ getResponse: () => response }) };
  new ProblemDetailsFilter().catch(exception, host as unknown as ArgumentsHost);
  return response;
}

function body(exception: unknown): unknown {
  const { status, type, send } = answer(exception);
  const problem = JSON.parse(send.mock.calls[0][0] as string) as {
    status: number;
  };
  expect(status).toHaveBeenCalledWith(problem.status);
  expect(type).toHaveBeenCalledWith('application/problem+json');
  return problem;
}

describe(ProblemDetailsFilter.name, () => {
  const logged = jest.spyOn(Logger.prototype, 'error').mockReturnValue();
  beforeEach(() => logged.mockClear());

  it('keeps status and message of what was thrown on purpose', () => {
    expect(body(new NotFoundException('Book 42 not found'))).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'Book 42 not found',
    });
    expect(logged).not.toHaveBeenCalled();
  });

  it('lists the refused fields', () => {
    const errors = [{ pointer: '#/title', detail: 'title must be a string' }];
    expect(body(new InvalidRequestException(errors))).toEqual({
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      detail: 'title must be a string',
      errors,
    });
  });

  it('does not log a deliberate 503', () => {
    expect(body(new ServiceUnavailableException('Closed'))).toMatchObject({
      title: 'Service Unavailable',
      status: 503,
      detail: 'Closed',
    });
    expect(logged).not.toHaveBeenCalled();
  });

  it('understands the errors of the body parser', () => {
    const tooLarge = Object.assign(new Error('request entity too large'), {
      status: 413,
    });
    expect(body(tooLarge)).toEqual({
      type: 'about:blank',
      title: 'Payload Too Large',
      status: 413,
      detail: 'request entity too large',
    });
  });

  it('answers 503 when the database is gone, and logs why', () => {
    const lost = Object.assign(new Error('connect ECONNREFUSED'), {
      code: 'ECONNREFUSED',
    });
    expect(body(lost)).toEqual({
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      detail: 'The database is not available, try again later',
    });
    expect(logged.mock.calls).toEqual([
      [{ err: lost }, 'connect ECONNREFUSED'],
    ]);
  });

  it('hides an unexpected error from the client and logs it once', () => {
    const bug = new TypeError('password is undefined');
    expect(body(bug)).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      detail: 'The server could not process the request',
    });
    expect(logged.mock.calls).toEqual([
      [{ err: bug }, 'password is undefined'],
    ]);
  });

  it('does not take the status of an upstream error for its own', () => {
    const upstream = Object.assign(new Error('bad gateway'), { status: 502 });
    expect(body(upstream)).toMatchObject({ status: 500 });
  });

  it('copes with something thrown that is no error', () => {
    expect(body('oops')).toMatchObject({ status: 500 });
    expect(logged.mock.calls).toEqual([[{ err: new Error('oops') }, 'oops']]);
  });

  it('cuts the connection when the answer has begun', () => {
    const { destroy, send } = answer(new BadRequestException(), true);
    expect(destroy).toHaveBeenCalledTimes(1);
    expect(send).not.toHaveBeenCalled();
  });
});
