import {
  BadRequestException,
  PayloadTooLargeException,
  UnsupportedMediaTypeException,
} from '@nestjs/common';
import { json, type RequestHandler } from 'express';
import { isUtf8 } from 'node:buffer';

const MOST_BYTES = 100 * 1024;

const requireJson: RequestHandler = (request, _response, next) => {
  const empty = request.headers['content-length'] === '0';
  // `is` answers null when there is no body and false when its type is another one.
  if (!empty && request.is('application/json') === false) {
    throw new UnsupportedMediaTypeException(
      'Send the body as application/json',
    );
  }
  // The parser would say the same, but wait for the whole body first.
  if (Number(request.headers['content-length']) > MOST_BYTES) {
    throw new PayloadTooLargeException('request entity too large');
  }
  next();
};

/** Bytes that are no UTF-8 would be stored as question marks. */
function requireUtf8(
  _request: unknown,
  _response: unknown,
  body: Buffer,
  charset: string,
) {
  if (charset !== 'utf-8')
    throw new UnsupportedMediaTypeException('Send the body in UTF-8');
  if (!isUtf8(body)) throw new BadRequestException('The body is not UTF-8');
}

/**
 * Parses request bodies: 415 unless JSON in UTF-8, 413 above 100 kB (also when it has them only once
 * it is unpacked), 400 when it does not parse.
 * Scalars and arrays pass here; RequestValidationPipe refuses them with a clearer sentence.
 */
export const jsonBody = [
  requireJson,
  json({ limit: MOST_BYTES, strict: false, verify: requireUtf8 }),
];
