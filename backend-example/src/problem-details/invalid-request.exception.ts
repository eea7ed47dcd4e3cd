import { BadRequestException } from '@nestjs/common';

/**
 * One field that was refused: `pointer` into the JSON body (as in the example of RFC 9457,
 * section 3), or `parameter` for a name in the path or the query.
 */
export type InvalidField = { detail: string } & (
  { pointer: string } | { parameter: string }
);

/** 400 with the list of everything that is wrong with the request. */
export class InvalidRequestException extends BadRequestException {
  constructor(readonly errors: InvalidField[]) {
    super(errors.map(({ detail }) => detail).join('; '));
  }
}
