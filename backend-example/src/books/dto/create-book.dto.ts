import { ApiProperty } from '@nestjs/swagger';
import { IsText } from '../../validation/is-text';

export class CreateBookDto {
  @ApiProperty({ example: 'The Left Hand of Darkness', maxLength: 200 })
  @IsText(200)
  title: string;

  @ApiProperty({ example: 'Ursula K. Le Guin', maxLength: 100 })
  @IsText(100)
  author: string;
}
