import { applyDecorators } from '@nestjs/common';
import {
  ApiExtraModels,
  ApiProperty,
  ApiPropertyOptional,
  ApiResponse,
  getSchemaPath,
} from '@nestjs/swagger';
import { STATUS_CODES } from 'node:http';
import type { InvalidField } from './invalid-request.exception';

/** The media type of every error this service answers with. */
export const PROBLEM_JSON = 'application/problem+json';

/** The body of an error response: RFC 9457, with `errors` as extension member. */
export class ProblemDetails {
  @ApiProperty({ example: 'about:blank' })
  type: string;

  @ApiProperty({ example: 'Bad Request', description: 'HTTP reason phrase' })
  title: string;

  @ApiProperty({ example: 400, description: 'HTTP status code' })
  status: number;

  @ApiProperty({ example: 'title must not be empty' })
  detail: string;

  @ApiPropertyOptional({
    description: 'Each refused field: body pointer, or path or query parameter',
    type: 'array',
    items: {
      type: 'object',
      required: ['detail'],
      properties: {
        pointer: { type: 'string' },
        parameter: { type: 'string' },
        detail: { type: 'string' },
      },
    },
    example: [{ pointer: '#/title', detail: 'title must not be empty' }],
  })
  errors?: InvalidField[];
}

/** The longest sentence of an answer, which may repeat what was sent: a path, the name of a field. */
const LONGEST_DETAIL = 1000;

/** Problem details as they are sent. */
export function toProblemJson(
  status: number,
  detail: string,
  errors?: InvalidField[],
): string {
  const problem: ProblemDetails = {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail:
      detail.length > LONGEST_DETAIL
        ? `${detail.slice(0, LONGEST_DETAIL)}…`
        : detail,
    errors,
  };
  return JSON.stringify(problem);
}

/** Documents an error response in the OpenAPI description. */
export function ApiProblem(status: number, description: string) {
  return applyDecorators(
    ApiExtraModels(ProblemDetails),
    ApiResponse({
      status,
      description,
      content: {
        [PROBLEM_JSON]: { schema: { $ref: getSchemaPath(ProblemDetails) } },
      },
    }),
  );
}
