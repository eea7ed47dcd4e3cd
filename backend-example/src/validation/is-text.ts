import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { ValidateBy } from 'class-validator';

/**
 * A string that is trimmed first and must then hold 1 to `maxLength` characters (code points)
 * which PostgreSQL can store: it has no NUL and no half of a surrogate pair.
 */
export function IsText(maxLength: number): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }: { value: unknown }) =>
      typeof value === 'string' ? value.trim() : value,
    ),
    ValidateBy({
      name: 'isText',
      validator: {
        validate: (value) => problem(value, maxLength) === undefined,
        defaultMessage: (field) =>
          `${field?.property} ${problem(field?.value, maxLength)}`,
      },
    }),
  );
}

function problem(value: unknown, maxLength: number): string | undefined {
  if (typeof value !== 'string') return 'must be a string';
  if (value === '') return 'must not be empty';
  if (value.includes('\0')) return 'must not contain a NUL character';
  if (!value.isWellFormed()) return 'must be well-formed Unicode';
  // By code point: value.length would count an emoji as two.
  if (Array.from(value).length > maxLength)
    return `must be at most ${maxLength} characters long`;
  return undefined;
}
