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

/**
 * Turns body, path and query into their DTO classes and refuses what does not fit, unknown
 * fields included, with an InvalidRequestException that names each field once. (Names that every object
 * has, such as `constructor`, are dropped without a word.)
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
    try {
      return (await super.transform(value, metadata)) as unknown;
    } catch (error) {
      if (!(error instanceof ValidationFailed)) throw error;
      throw new InvalidRequestException(
        error.errors.map((field) => describe(field, metadata.type)),
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

function describe(
  { property, constraints = {} }: ValidationError,
  source: ArgumentMetadata['type'],
): InvalidField {
  const detail = Object.values(constraints)[0];
  return source === 'body'
    ? { pointer: `#/${jsonPointer(property)}`, detail }
    : { parameter: property, detail };
}

/** A key as a JSON Pointer segment in a URI fragment (RFC 6901, sections 3 and 6). */
function jsonPointer(key: string): string {
  const escaped = key.replaceAll('~', '~0').replaceAll('/', '~1');
  return encodeURIComponent(escaped.toWellFormed());
}
