import { applyDecorators } from '@nestjs/common';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { ValidateBy } from 'class-validator';

/** An optional number from `min` to `max`; null is not the same as absent and is refused. */
function Between(min: number, max: number, description: string) {
  return applyDecorators(
    ApiPropertyOptional({ minimum: min, maximum: max, description }),
    ValidateBy({
      name: 'between',
      validator: {
        validate: (value) =>
          value === undefined ||
          (typeof value === 'number' && value >= min && value <= max),
        defaultMessage: (field) =>
          `${field?.property} must be a number from ${min} to ${max}`,
      },
    }),
  );
}

/** The faults of a request, limited so that a lesson cannot end the service for good. */
export class FaultsDto {
  @Between(0, 10_000, 'Milliseconds to wait before working on the request')
  latencyMs?: number;

  @Between(0, 1, 'Share of requests answered with 500: 0.2 is every fifth')
  errorRatio?: number;

  // The pool gives up after 5 s.
  @Between(0, 4_000, 'Milliseconds that each SELECT takes longer')
  slowSqlMs?: number;

  @Between(0, 1_000, 'Milliseconds to block the event loop, for every request')
  blockMs?: number;

  @Between(0, 16, 'MB that the request takes and keeps; 128 all together')
  memoryMb?: number;
}

/** Faults for all requests, and for how long. */
export class SetFaultsDto extends FaultsDto {
  @Between(1, 3600, 'Seconds until the faults end; without it ten minutes')
  seconds: number = 600;
}
