import {
  BadRequestException,
  Injectable,
  Logger,
  NotFoundException,
} from '@nestjs/common';
import type { Counter } from '@opentelemetry/api';
import { MetricService, Span } from 'nestjs-otel';
import { BooksRepository } from './books.repository';
import type { BookDto, BookPageDto } from './dto/book.dto';
import type { CreateBookDto } from './dto/create-book.dto';
import type { FindBooksDto } from './dto/find-books.dto';
import type { UpdateBookDto } from './dto/update-book.dto';

/** Span attributes of a call about one book. */
const bookId = (id: number) => ({ attributes: { 'book.id': id } });

@Injectable()
export class BooksService {
  private readonly logger = new Logger(BooksService.name);
  private readonly booksCreated: Counter;

  constructor(
    private readonly books: BooksRepository,
    metrics: MetricService,
  ) {
    // Exported as books_created_total. No title or author as label: each value is a new series.
    this.booksCreated = metrics.getCounter('books_created', {
      description: 'Books created since the service started',
    });
  }

  @Span({ onResult: (book: BookDto) => bookId(book.id) })
  async create(book: CreateBookDto): Promise<BookDto> {
    const created = await this.books.insert(book);
    this.booksCreated.add(1);
    this.logger.log({ 'book.id': created.id }, 'book created');
    return created;
  }

  @Span()
  async find({ limit, cursor = 0 }: FindBooksDto): Promise<BookPageDto> {
    // One more than asked for tells whether there is a next page.
    const found = await this.books.list(limit + 1, cursor);
    const items = found.slice(0, limit);
    const last = found.length > limit ? items.at(-1) : undefined;
    return { items, nextCursor: last?.id ?? null };
  }

  /** @throws NotFoundException */
  @Span(bookId)
  async findOne(id: number): Promise<BookDto> {
    return (await this.books.find(id)) ?? notFound(id);
  }

  /** @throws BadRequestException without any change, NotFoundException */
  @Span((id: number, _changes: UpdateBookDto) => bookId(id))
  async update(id: number, changes: UpdateBookDto): Promise<BookDto> {
    if (changes.title === undefined && changes.author === undefined) {
      throw new BadRequestException('Give a title or an author to change');
    }
    const updated = (await this.books.update(id, changes)) ?? notFound(id);
    this.logger.log({ 'book.id': id }, 'book updated');
    return updated;
  }

  /** @throws NotFoundException */
  @Span(bookId)
  async remove(id: number): Promise<void> {
    if (!(await this.books.delete(id))) notFound(id);
    this.logger.log({ 'book.id': id }, 'book removed');
  }
}

function notFound(id: number): never {
  throw new NotFoundException(`Book ${id} not found`);
}
