import { ApiProperty } from '@nestjs/swagger';

/** The largest id: `integer` in PostgreSQL. */
export const MAX_ID = 2_147_483_647;

/** A book as stored and as answered. */
export class BookDto {
  @ApiProperty({ example: 1 })
  id: number;

  @ApiProperty({ example: 'The Left Hand of Darkness' })
  title: string;

  @ApiProperty({ example: 'Ursula K. Le Guin' })
  author: string;

  @ApiProperty({ example: '2026-01-31T12:00:00.000Z' })
  createdAt: Date;

  @ApiProperty({ example: '2026-01-31T12:00:00.000Z' })
  updatedAt: Date;
}

/** One page of the list. */
export class BookPageDto {
  @ApiProperty({ type: [BookDto] })
  items: BookDto[];

  @ApiProperty({
    description: 'The cursor of the next page, null on the last one',
    type: Number,
    nullable: true,
    example: 20,
  })
  nextCursor: number | null;
}
