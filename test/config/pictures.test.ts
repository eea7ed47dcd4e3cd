import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { Lexer, walkTokens, type Token, type Tokens } from 'marked';
import { ROOT } from '../../cli/paths.ts';
import { pages } from '../support/pages.ts';
import { digest, FOLDER, outdated, readRecords } from '../support/pictures.ts';

const records = readRecords();
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** The pictures on the pages, and the text around each. */
const shown = pages().flatMap((page) => {
  const found: { page: string; file: string; alt: string; around: string }[] = [];
  for (const part of Lexer.lex(read(page)))
    void walkTokens([part], (token: Token) => {
      if (token.type !== 'image') return;
      const { href, text } = token as Tokens.Image;
      found.push({ page, file: normalize(join(dirname(page), href)), alt: text, around: part.raw });
    });
  return found;
});

describe('the pictures', () => {
  it('are not older than what they show', (t) => {
    for (const [name, { shows, kept }] of Object.entries(records))
      if (kept) t.diagnostic(`${name} stays although ${shows} has changed: ${kept.because}`);
    assert.deepEqual(outdated(records), []);
  });

  it('are all on record', () => {
    const files = readdirSync(join(ROOT, FOLDER)).filter((file) => file.endsWith('.webp'));
    assert.deepEqual(
      files.map((file) => basename(file, '.webp')),
      Object.keys(records).toSorted(),
    );
  });

  for (const file of readdirSync(join(ROOT, FOLDER)).filter((name) => !name.endsWith('.json')))
    it(`${file} is on a page, described for those who do not see it, and light`, () => {
      const places = shown.filter((picture) => picture.file === join(FOLDER, file));
      assert.ok(places.length > 0);
      for (const { page, alt } of places) assert.ok(alt.length > 40, `${page}: "${alt}"`);
      assert.ok(statSync(join(ROOT, FOLDER, file)).size < 150 * 1024);
    });

  for (const [name, { grafana }] of Object.entries(records))
    it(`the page says which version of Grafana ${name} shows`, () => {
      const version = `Version ${grafana.split('.').slice(0, 2).join('.')} of Grafana`;
      for (const { page, around } of shown.filter(({ file }) => file.endsWith(`/${name}.webp`)))
        assert.ok(around.includes(version), `${page}: "${version}" is not in:\n${around}`);
    });
});

describe('a picture', () => {
  const taken = {
    shows: 'x.json',
    digest: digest('{"a": 1}'),
    grafana: '1.0',
    taken: '2026-01-01',
  };
  const today = (text: string) => () => digest(text);

  it('does not get old by another layout or a comment', () => {
    assert.deepEqual(outdated({ x: taken }, today('{"a":\n1}\n')), []);
    assert.deepEqual(outdated({ x: taken }, today('# why\na: 1\n')), []);
  });

  it('is old when the file has changed, or is gone', () => {
    for (const now of [today('{"a": 2}'), () => undefined]) {
      const [problem, ...more] = outdated({ x: taken }, now);
      assert.match(problem!, /x\.webp is older than x\.json.* npm run pictures -- x\..* --keep x /);
      assert.deepEqual(more, []);
    }
  });

  it('may stay for one change, and is old after the next', () => {
    const x = { ...taken, kept: { digest: digest('{"a": 2}'), because: 'a colour' } };
    assert.deepEqual(outdated({ x }, today('{"a": 2}')), []);
    assert.equal(outdated({ x }, today('{"a": 3}')).length, 1);
  });
});
