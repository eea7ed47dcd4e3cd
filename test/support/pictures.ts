import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from '../../cli/paths.ts';

/** Where a picture comes from. */
export interface PictureRecord {
  /** The file of the repository that decides what is seen: a dashboard, or the data sources. */
  shows: string;
  /** digest() of that file when the picture was taken. */
  digest: string;
  /** The version of Grafana. */
  grafana: string;
  /** The day, YYYY-MM-DD. */
  taken: string;
  /** Somebody looked at the picture after the file had changed, and left it. */
  kept?: { digest: string; because: string };
}

export const FOLDER = 'docs/pictures';
const RECORDS = join(ROOT, FOLDER, 'taken.json');

/** By the name of the picture: `home` is docs/pictures/home.webp. */
export type PictureRecords = Record<string, PictureRecord>;

export const readRecords = (): PictureRecords =>
  JSON.parse(readFileSync(RECORDS, 'utf8')) as PictureRecords;

export function writeRecords(records: PictureRecords): void {
  writeFileSync(RECORDS, `${JSON.stringify(records, null, 2)}\n`);
}

/** What a JSON or YAML file says, in 16 characters: comments and layout do not count. */
export function digest(text: string): string {
  return createHash('sha256')
    .update(JSON.stringify(parse(text, { maxAliasCount: -1 })))
    .digest('hex')
    .slice(0, 16);
}

export const digestOf = (file: string): string => digest(readFileSync(join(ROOT, file), 'utf8'));

/**
 * What is wrong with the pictures, one sentence each.
 * @param now the digest of a file as it is today, undefined where it is gone
 */
export function outdated(
  records: PictureRecords,
  now: (file: string) => string | undefined = (file) =>
    existsSync(join(ROOT, file)) ? digestOf(file) : undefined,
): string[] {
  return Object.entries(records).flatMap(([name, { shows, digest, kept }]) => {
    const today = now(shows);
    if (today && [digest, kept?.digest].includes(today)) return [];
    return [
      `${FOLDER}/${name}.webp is older than ${shows}, which it shows. Take it again: npm run pictures -- ${name}. Or look at it and, if it still shows what the page says: npm run pictures -- --keep ${name} --because "…"`,
    ];
  });
}
