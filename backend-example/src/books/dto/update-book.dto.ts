import { PartialType } from '@nestjs/swagger';
import { CreateBookDto } from './create-book.dto';

/** Absent fields stay as they are; null is not the same as absent and is refused. */
export class UpdateBookDto extends PartialType(CreateBookDto, {
  skipNullProperties: false,
}) {}
