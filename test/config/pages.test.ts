import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pages, readPage } from '../support/pages.ts';

describe('the pages', () => {
  for (const page of pages())
    it(`${page} says what the files say`, () => {
      const { problems } = readPage(page);
      assert.deepEqual(problems, [], problems.join('\n'));
    });
});
