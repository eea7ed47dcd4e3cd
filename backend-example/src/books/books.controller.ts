import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Patch,
  Post,
  Query,
} from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import { Traceable } from 'nestjs-otel';
import { ApiProblem } from '../problem-details/problem-details';
import { BooksService } from './books.service';
import { BookDto, BookPageDto } from './dto/book.dto';
import { CreateBookDto } from './dto/create-book.dto';
import { BookIdDto, FindBooksDto } from './dto/find-books.dto';
import { UpdateBookDto } from './dto/update-book.dto';

@ApiTags('books')
@ApiProblem(503, 'The database is not available')
@Traceable()
@Controller('books')
export class BooksController {
  constructor(private readonly books: BooksService) {}

  @Post('create')
  @ApiOperation({ summary: 'Add a book' })
  @ApiCreatedResponse({ type: BookDto })
  @ApiProblem(400, 'The body is not a valid book')
  create(@Body() book: CreateBookDto): Promise<BookDto> {
    return this.books.create(book);
  }

  @Get('find')
  @ApiOperation({ summary: 'List books by id, page by page' })
  @ApiOkResponse({ type: BookPageDto })
  @ApiProblem(400, 'The query is not valid')
  find(@Query() query: FindBooksDto): Promise<BookPageDto> {
    return this.books.find(query);
  }

  @Get('find/:id')
  @ApiOperation({ summary: 'Get one book' })
  @ApiOkResponse({ type: BookDto })
  @ApiProblem(400, 'The id is not valid')
  @ApiProblem(404, 'There is no such book')
  findOne(@Param() { id }: BookIdDto): Promise<BookDto> {
    return this.books.findOne(id);
  }

  @Patch('update/:id')
  @ApiOperation({ summary: 'Change title, author or both' })
  @ApiOkResponse({ type: BookDto })
  @ApiProblem(400, 'The id or the changes are not valid')
  @ApiProblem(404, 'There is no such book')
  update(
    @Param() { id }: BookIdDto,
    @Body() changes: UpdateBookDto,
  ): Promise<BookDto> {
    return this.books.update(id, changes);
  }

  @Delete('remove/:id')
  @HttpCode(204)
  @ApiOperation({ summary: 'Remove a book' })
  @ApiNoContentResponse()
  @ApiProblem(400, 'The id is not valid')
  @ApiProblem(404, 'There is no such book')
  remove(@Param() { id }: BookIdDto): Promise<void> {
    return this.books.remove(id);
  }
}
