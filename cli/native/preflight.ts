import { globSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { parser as logql } from '@grafana/lezer-logql';
import { parser as promql } from '@prometheus-io/lezer-promql';
import type { LRParser } from '@lezer/lr';
import { parse } from 'yaml';
import { ROOT } from '../paths.ts';
import { commandLine } from './ports.ts';

// What would end a component after a while, with a cause that is hard to find in its log, is told before
// anything is started.

interface RuleFile {
  groups: { rules: { alert?: string; record?: string; expr: string }[] }[];
}

const LANGUAGES: Record<string, LRParser> = { mimir: promql, loki: logql };

/**
 * Checks every rule file, also those of the reader's own.
 * @throws Error with a line for each mistake: the file, the rule, and the place in its expression
 */
export function checkRules(root = ROOT): void {
  const problems: string[] = [];
  for (const [store, language] of Object.entries(LANGUAGES))
    for (const file of globSync(`${store}/rules/*/*.{yaml,yml}`, { cwd: root }))
      try {
        const { groups } = parse(readFileSync(join(root, file), 'utf8')) as RuleFile;
        for (const { alert, record, expr } of groups.flatMap(({ rules }) => rules)) {
          let wrong: number | undefined;
          language
            .parse(expr)
            .iterate({ enter: ({ type, from }) => void (type.isError && (wrong ??= from)) });
          if (wrong !== undefined)
            problems.push(`${file}: ${alert ?? record}: ${expr.slice(0, wrong)} ⟵ not after this`);
        }
      } catch (error) {
        problems.push(`${file}: ${(error as Error).message.split('\n')[0]}`);
      }
  if (problems.length > 0)
    throw new Error(
      `A rule file has a mistake, with which its store would end or run without rules. Correct it and run the command again.\n${problems.join('\n')}`,
    );
}

/**
 * Checks that a path can stand in every config file.
 * @throws Error saying which character cannot
 */
export function checkPath(folder: string): void {
  const bad =
    /[^\w@%+=.,/ ~()-]/u.exec(folder.replaceAll(/\p{L}/gu, 'x'))?.[0] ??
    / (?=\/|$)|\/ /.exec(folder)?.[0];
  if (bad === undefined) return;
  throw new Error(
    `Nothing was started: the path ${folder} has ${JSON.stringify(bad)} in it, which the config files of the components cannot carry. Name another folder in STACK_FOLDER, or move this one.`,
  );
}

/**
 * Lets only one `npm start` at a time work on a folder; answers how to let the next one in.
 * @throws Error naming the process that is at it
 */
export async function lock(folder: string): Promise<() => void> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'start.lock'); // a link, which is there with the process that it names or not at all
  for (;;)
    try {
      symlinkSync(String(process.pid), file);
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const holder = await readlink(file).catch(() => '');
      if (holder && (await commandLine(Number(holder))).includes('main.js'))
        throw new Error(`Another npm start is under way: process ${holder}. Wait for it.`);
      rmSync(file, { force: true }); // it was killed
    }
}
