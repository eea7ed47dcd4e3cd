import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { ValidateBy } from 'class-validator';

/**
 * A path or query parameter that is a plain decimal integer from `min` to `max`; the property
 * becomes a number. Number() alone would also take '', '1e3', '0x10' and ' 1'.
 */
export function IsIntegerText(min: number, max: number): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }: { value: unknown }) =>
      typeof value === 'string' && /^(0|[1-9]\d*)$/.test(value)
        ? Number(value)
        : value,
    ),
    ValidateBy({
      name: 'isIntegerText',
      validator: {
        validate: (value) =>
          typeof value === 'number' && value >= min && value <= max,
        defaultMessage: (field) =>
          `${field?.property} must be an integer from ${min} to ${max}`,
      },
    }),
  );
}
