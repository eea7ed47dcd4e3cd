import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional } from 'class-validator';
import { IsIntegerText } from '../../validation/is-integer-text';
import { MAX_ID } from './book.dto';

/** The query of the list. */
export class FindBooksDto {
  @ApiPropertyOptional({
    description: 'Most books to return',
    minimum: 1,
    maximum: 100,
    default: 20,
  })
  @IsOptional()
  @IsIntegerText(1, 100)
  limit: number = 20;

  @ApiPropertyOptional({
    description: '`nextCursor` of the page before: the last id seen',
    minimum: 1,
    maximum: MAX_ID,
  })
  @IsOptional()
  @IsIntegerText(1, MAX_ID)
  cursor?: number;
}

/** The path of everything that concerns one book. */
export class BookIdDto {
  @ApiProperty({ minimum: 1, maximum: MAX_ID, example: 1 })
  @IsIntegerText(1, MAX_ID)
  id: number;
}
