import {
  ArgumentMetadata,
  BadRequestException,
  Injectable,
  ValidationPipe,
} from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import {
  InvalidRequestException,
  type InvalidField,
} from '../problem-details/invalid-request.exception';

/** In a body, a path or a query, nested ones included. */
const MOST_VALUES = 100;
const DEEPEST = 5;

/**
 * Turns body, path and query into their DTO classes and refuses what does not fit, unknown
 * fields included, with an InvalidRequestException that names each field once.
 */
@Injectable()
export class RequestValidationPipe extends ValidationPipe {
  constructor() {
    super({
      transform: true,
      whitelist: true,
      forbidNonWhitelisted: true,
      stopAtFirstError: true,
      exceptionFactory: (errors) => new ValidationFailed(errors),
    });
  }

  async transform(value: unknown, metadata: ArgumentMetadata) {
    if (metadata.type === 'body' && !isObject(value)) {
      throw new BadRequestException('The request body must be a JSON object');
    }
    if (isTooMuch(value)) {
      throw new BadRequestException(
        `No more than ${MOST_VALUES} values, and ${DEEPEST} levels of them, are allowed`,
      );
    }
    // Nest drops these without a word.
    const dropped = Object.keys(Object(value) as object).filter(
      (name) => name in Object.prototype || name === 'prototype',
    );
    if (dropped.length > 0) {
      throw new InvalidRequestException(
        dropped.map((name) =>
          field(name, `property ${name} should not exist`, metadata.type),
        ),
      );
    }
    try {
      return (await super.transform(value, metadata)) as unknown;
    } catch (error) {
      if (!(error instanceof ValidationFailed)) throw error;
      throw new InvalidRequestException(
        error.errors.map(({ property, constraints = {} }) =>
          field(property, Object.values(constraints)[0], metadata.type),
        ),
      );
    }
  }
}

class ValidationFailed extends Error {
  constructor(readonly errors: ValidationError[]) {
    super();
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether it would take long, or too deep a recursion, to look at all of it only to refuse it. */
function isTooMuch(value: unknown): boolean {
  let level = [value];
  let count = 0;
  for (let depth = 0; level.length > 0; depth++) {
    count += level.length;
    if (depth > DEEPEST || count > MOST_VALUES + 1) return true;
    level = level.flatMap((item) =>
      Object(item) === item ? Object.values(item as object) : [],
    );
  }
  return false;
}

function field(
  name: string,
  detail: string,
  source: ArgumentMetadata['type'],
): InvalidField {
  return source === 'body'
    ? { pointer: `#/${jsonPointer(short(name))}`, detail: short(detail) }
    : { parameter: short(name), detail: short(detail) };
}

/** Enough to recognize it: anybody can send a name of 100 kB. */
function short(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** A key as a JSON Pointer segment in a URI fragment (RFC 6901, sections 3 and 6). */
function jsonPointer(key: string): string {
  const escaped = key.replaceAll('~', '~0').replaceAll('/', '~1');
  return encodeURIComponent(escaped.toWellFormed());
}
