import { UnsupportedMediaTypeException } from '@nestjs/common';
import { json, type RequestHandler } from 'express';

const requireJson: RequestHandler = (request, _response, next) => {
  const empty = request.headers['content-length'] === '0';
  // `is` answers null when there is no body and false when its type is another one.
  if (!empty && request.is('application/json') === false) {
    throw new UnsupportedMediaTypeException(
      'Send the body as application/json',
    );
  }
  next();
};

/**
 * Parses request bodies: 415 unless JSON, 413 above 100 kB, 400 when it does not parse.
 * Scalars and arrays pass here; RequestValidationPipe refuses them with a clearer sentence.
 */
export const jsonBody = [requireJson, json({ limit: '100kb', strict: false })];
