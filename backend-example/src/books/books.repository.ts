import { Injectable } from '@nestjs/common';
import { Pool } from 'pg';
import type { BookDto } from './dto/book.dto';
import type { CreateBookDto } from './dto/create-book.dto';
import type { UpdateBookDto } from './dto/update-book.dto';

const COLUMNS = `id, title, author, created_at AS "createdAt", updated_at AS "updatedAt"`;

/** The SQL of books. */
@Injectable()
export class BooksRepository {
  constructor(private readonly pool: Pool) {}

  async insert({ title, author }: CreateBookDto): Promise<BookDto> {
    const { rows } = await this.pool.query<BookDto>(
      `INSERT INTO books (title, author) VALUES ($1, $2) RETURNING ${COLUMNS}`,
      [title, author],
    );
    return rows[0];
  }

  /** At most `limit` books with an id above `afterId`, by id. */
  async list(limit: number, afterId: number): Promise<BookDto[]> {
    const { rows } = await this.pool.query<BookDto>(
      `SELECT ${COLUMNS} FROM books WHERE id > $1 ORDER BY id LIMIT $2`,
      [afterId, limit],
    );
    return rows;
  }

  async find(id: number): Promise<BookDto | undefined> {
    const { rows } = await this.pool.query<BookDto>(
      `SELECT ${COLUMNS} FROM books WHERE id = $1`,
      [id],
    );
    return rows.at(0);
  }

  /** Changes the given fields; undefined when there is no such book. */
  async update(
    id: number,
    { title, author }: UpdateBookDto,
  ): Promise<BookDto | undefined> {
    const { rows } = await this.pool.query<BookDto>(
      `UPDATE books
       SET title = COALESCE($2, title), author = COALESCE($3, author), updated_at = now()
       WHERE id = $1 RETURNING ${COLUMNS}`,
      [id, title, author],
    );
    return rows.at(0);
  }

  /** Whether there was such a book. */
  async delete(id: number): Promise<boolean> {
    const { rowCount } = await this.pool.query(
      'DELETE FROM books WHERE id = $1',
      [id],
    );
    return rowCount === 1;
  }
}
