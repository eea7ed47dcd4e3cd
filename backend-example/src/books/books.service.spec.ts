import { BadRequestException, Logger, NotFoundException } from '@nestjs/common';
import type { MetricService } from 'nestjs-otel';
import type { BooksRepository } from './books.repository';
import { BooksService } from './books.service';
import type { BookDto } from './dto/book.dto';

const book = (id: number): BookDto => ({
  id,
  title: `Title ${id}`,
  author: 'Author',
  createdAt: new Date(0),
  updatedAt: new Date(0),
});

describe(BooksService.name, () => {
  const repository = {
    insert: jest.fn(),
    list: jest.fn(),
    find: jest.fn(),
    update: jest.fn(),
    delete: jest.fn(),
  };
  const counter = { add: jest.fn() };
  const getCounter = jest.fn(() => counter);
  let sut: BooksService;

  beforeAll(() => Logger.overrideLogger(false));

  beforeEach(() => {
    jest.clearAllMocks();
    sut = new BooksService(
      repository as unknown as BooksRepository,
      { getCounter } as unknown as MetricService,
    );
  });

  describe('create', () => {
    it('stores the book and counts it, without labels', async () => {
      repository.insert.mockResolvedValue(book(7));

      const created = await sut.create({ title: 'Title 7', author: 'Author' });

      expect(created).toEqual(book(7));
      expect(getCounter).toHaveBeenCalledWith(
        'books_created',
        expect.anything(),
      );
      expect(counter.add.mock.calls).toEqual([[1]]);
    });

    it('does not count a book that was not stored', async () => {
      repository.insert.mockRejectedValue(new Error('disk full'));

      await expect(sut.create({ title: 'T', author: 'A' })).rejects.toThrow(
        'disk full',
      );
      expect(counter.add).not.toHaveBeenCalled();
    });
  });

  describe('find', () => {
    it('starts at the beginning and asks for one book more than it returns', async () => {
      repository.list.mockResolvedValue([book(1), book(2), book(3)]);

      const page = await sut.find({ limit: 2 });

      expect(page).toEqual({ items: [book(1), book(2)], nextCursor: 2 });
      expect(repository.list).toHaveBeenCalledWith(3, 0);
    });

    it('has no next cursor on a last page that is just full', async () => {
      repository.list.mockResolvedValue([book(3), book(4)]);

      const page = await sut.find({ limit: 2, cursor: 2 });

      expect(page).toEqual({ items: [book(3), book(4)], nextCursor: null });
      expect(repository.list).toHaveBeenCalledWith(3, 2);
    });

    it('answers an empty page', async () => {
      repository.list.mockResolvedValue([]);

      expect(await sut.find({ limit: 20, cursor: 9 })).toEqual({
        items: [],
        nextCursor: null,
      });
    });
  });

  describe('findOne', () => {
    it('returns the book', async () => {
      repository.find.mockResolvedValue(book(5));

      expect(await sut.findOne(5)).toEqual(book(5));
      expect(repository.find).toHaveBeenCalledWith(5);
    });

    it('names the book that is not there', async () => {
      repository.find.mockResolvedValue(undefined);

      await expect(sut.findOne(42)).rejects.toThrow(
        new NotFoundException('Book 42 not found'),
      );
    });
  });

  describe('update', () => {
    it('changes the given field', async () => {
      repository.update.mockResolvedValue(book(5));

      expect(await sut.update(5, { author: 'B' })).toEqual(book(5));
      expect(repository.update).toHaveBeenCalledWith(5, { author: 'B' });
    });

    it('refuses a change of nothing before it asks the database', async () => {
      await expect(sut.update(5, {})).rejects.toThrow(BadRequestException);
      expect(repository.update).not.toHaveBeenCalled();
    });

    it('names the book that is not there', async () => {
      repository.update.mockResolvedValue(undefined);

      await expect(sut.update(42, { title: 'T' })).rejects.toThrow(
        new NotFoundException('Book 42 not found'),
      );
    });
  });

  describe('remove', () => {
    it('removes the book', async () => {
      repository.delete.mockResolvedValue(true);

      await sut.remove(5);

      expect(repository.delete).toHaveBeenCalledWith(5);
    });

    it('names the book that is not there', async () => {
      repository.delete.mockResolvedValue(false);

      await expect(sut.remove(42)).rejects.toThrow(
        new NotFoundException('Book 42 not found'),
      );
    });
  });
});
