import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../paths.ts';

/**
 * What docs/troubleshooting.md says about what Docker said: of the first row one of whose symptoms, which
 * are in quotes, is in it; … stands for anything. Empty when there is none.
 */
export function adviceOn(said: string): string {
  const page = readFileSync(join(ROOT, 'docs/troubleshooting.md'), 'utf8');
  for (const [, symptoms, cause, help] of page.matchAll(/^\| ([^|]*".*?) \| (.*?) \| (.*?) \|$/gm))
    for (const [, words] of symptoms!.matchAll(/"(.+?)"/g))
      if (words!.split('…').every((part) => said.includes(part)))
        return `${cause}. What helps: ${help}`
          .replace(/\[([^\]]+)\]\((http[^)]+)\)/g, '$1 ($2)')
          .replace(/\[([^\]]+)\]\([^)]+\)/g, '$1');
  return '';
}
