import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import GithubSlugger from 'github-slugger';
import { Lexer, Parser, TextRenderer, walkTokens } from 'marked';
import type { Token, Tokens } from 'marked';
import { ROOT } from '../../cli/paths.ts';

/** A code block of a page. What it is, its mark says: CONTRIBUTING.md lists them. */
export interface Block {
  page: string;
  line: number;
  language: string;
  /** `query` for PromQL, LogQL and TraceQL; else the word after the language. */
  mark: string;
  /** What the mark is set to: a file, a reason, what a query needs. */
  value: string;
  text: string;
}

/** The pages of the tutorial. */
export function pages(): string[] {
  return files.filter((file) =>
    /^(README|CONTRIBUTING|CHANGELOG|SECURITY|docs\/.*)\.md$/.test(file),
  );
}

/** The code blocks of a page, and what is wrong with it as far as that needs no running stack. */
export function readPage(
  page: string,
  source = read(page),
): { blocks: Block[]; problems: string[] } {
  const blocks: Block[] = [];
  const problems: string[] = [];
  let above = ''; // the source above the paragraph, list, table … that is looked at
  for (const part of Lexer.lex(source)) {
    void walkTokens([part], (token) => {
      const at = part.raw.indexOf(token.raw.trim().split('\n')[0]!);
      const line = (above + part.raw.slice(0, at)).split('\n').length;
      let found: string[];
      if (token.type === 'code') {
        const block = readBlock(page, line, token as Tokens.Code);
        found = blockProblems(block, blocks.at(-1)?.mark);
        blocks.push(block);
      } else found = proseProblems(page, token, source);
      problems.push(...found.map((what) => `${page}:${line}: ${what}`));
    });
    above += part.raw;
  }
  blocks.forEach(({ mark, line }, i) => {
    if (mark === 'query' && blocks[i + 1]?.mark !== 'answer')
      problems.push(`${page}:${line}: a query needs its answer in a block "text answer" below it`);
  });
  return { blocks, problems };
}

function readBlock(page: string, line: number, code: Tokens.Code): Block {
  const info = code.lang?.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  const [language = '', behind = ''] = info;
  let [, mark, value] = /^(\w*)=?"?([^]*?)"?$/.exec(behind) as string[];
  if (/^(prom|log|trace)ql$/.test(language))
    mark = /^(needs)?$/.test(mark!) ? 'query' : `query ${mark}`;
  return { page, line, language, mark: mark!, value: value!, text: code.text };
}

function blockProblems(block: Block, above: string | undefined): string[] {
  const { language, mark, value, text } = block;
  if (mark === 'file') return quoteProblems(value, text);
  if (mark === 'layout') return layoutProblems(text);
  if (mark === 'norun' && !value.trim()) return ['norun needs a reason'];
  if (mark === 'answer' && above !== 'query') return ['an answer needs a query above it'];
  if (mark === 'output' && !value.trim() && above !== 'run')
    return ['output needs a run above it, or a reason why it is not compared'];
  if (!/^(run|norun|own|query|answer|output)$/.test(mark))
    return [
      `"${mark}" does not say what this block is; CONTRIBUTING.md, "Write a page", lists the marks`,
    ];
  if (language !== 'sh') return [];
  return [
    // the scripts of a new application are not ours
    ...(mark === 'own' ? [] : scriptProblems(text)),
    ...variableProblems(text),
    ...packageProblems(text),
  ];
}

function proseProblems(page: string, token: Token, source: string): string[] {
  if (token.type === 'codespan')
    return [...scriptProblems(token.text), ...variableProblems(token.text)];
  if (token.type === 'link' || token.type === 'image')
    return linkProblems(page, token.href, source);
  if (token.type === 'html')
    return matches(token.raw, /\b(?:src|srcset|href)="([^"]+)"/g).flatMap(([, href]) =>
      linkProblems(page, href!, source),
    );
  if (token.type === 'text' && !('tokens' in token)) return componentProblems(token.text);
  return [];
}

// A comment of nothing but "…" stands for left out lines. What lies between is to be consecutive lines
// of the file, less a common indentation.
function quoteProblems(file: string, quote: string): string[] {
  if (!isThere(file)) return [`there is no file ${file}`];
  const lines = read(file).split('\n');
  const parts = quote.split(/^[ \t]*(?:#|\/\/|;)? ?…$/m);
  let from = 0;
  for (const part of parts.filter((text) => text.trim())) {
    const wanted = part.replace(/^\n|\n$/g, '').split('\n');
    const start = findLines(lines, wanted, from);
    if (start < 0) {
      const same = (line: string) => lines.some((l) => l.trim() === line.trim());
      const changed =
        wanted.find((line) => !same(line)) ??
        `${wanted[0]} (with the lines below it, in this order)`;
      return [`${file} does not say this any more: ${changed}`];
    }
    from = start + wanted.length;
  }
  return [];
}

function findLines(lines: string[], wanted: string[], from: number): number {
  const indentation = (line: string) => /^ */.exec(line)![0];
  const first = indentation(wanted[0]!);
  return lines.findIndex((line, i) => {
    if (i < from || !indentation(line).startsWith(first)) return false;
    const pad = indentation(line).slice(first.length);
    return wanted.every((w, n) => lines[i + n] === (w && pad + w));
  });
}

// Each line begins with a path; further columns are paths when they end with "/".
function layoutProblems(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line) => line.split(/ {2,}/).filter((s, i) => !i || /^\S+\/$/.test(s)))
    .filter((path) => !isThere(path))
    .map((path) => `there is no ${path}`);
}

/** Where GitHub has the issues, seen from a file of the main branch. */
const ISSUES = '../../issues';

function linkProblems(page: string, href: string, source: string): string[] {
  if (/^[a-z]+:/.test(href)) return [];
  const [path = '', anchor] = decodeURI(href).split('#');
  const target = path ? normalize(join(dirname(page), path)) : page;
  if (target === ISSUES) return [];
  if (path && !isThere(target)) return [`the link ${href} leads to nothing`];
  if (!anchor || anchors(path ? read(target) : source).includes(anchor)) return [];
  return [`${target} has no heading #${anchor}`];
}

function anchors(text: string): string[] {
  const slugger = new GithubSlugger();
  const renderer = new TextRenderer() as any;
  return Lexer.lex(text).flatMap((token) =>
    token.type === 'heading' ? slugger.slug(Parser.parseInline(token.tokens!, { renderer })) : [],
  );
}

function scriptProblems(text: string): string[] {
  return matches(
    text,
    /\bnpm (?:run )?(start|stop|test|(?<=run )[\w:-]+)(?![\w:-])(?: -w ([\w-]+))?/g,
  )
    .filter(([, name, folder = '.']) => !manifests.get(folder)?.scripts?.[name!])
    .map(([command]) => `there is no script for "${command}"`);
}

function variableProblems(text: string): string[] {
  return matches(text, /\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g)
    .filter(([name]) => !new RegExp(`\\b${name}\\b`).test(sources))
    .map(([name]) => `nothing reads the variable ${name}`);
}

/** Packages with a version, as in npm install. */
function packageProblems(text: string): string[] {
  const ours: Record<string, string> = {};
  for (const { dependencies, devDependencies } of manifests.values())
    Object.assign(ours, dependencies, devDependencies);
  return matches(text, /(@?[\w/.-]+)@(\d+\.\d+\.\S+)/g)
    .filter(([, name, version]) => ours[name!] !== version)
    .map(([pinned, name]) => `${pinned}: ours is ${ours[name!] ?? 'none'}`);
}

/** Components with a version in prose, such as "Tempo 3.0". */
function componentProblems(text: string): string[] {
  return matches(text, /\b(\w+) v?(\d+(?:\.\d+)+)/g).flatMap(([named, name, found]) => {
    const file = `${name!.toLowerCase()}/Dockerfile`;
    if (!isThere(file)) return [];
    const [, ours] = /^ARG \w+_VERSION=v?(\S+)/m.exec(read(file))!;
    return `${ours}.`.startsWith(`${found}.`) ? [] : [`${named}: ours is ${ours}`];
  });
}

/** Every file of the repository, committed or new. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file && existsSync(join(ROOT, file)));

/** What the repository and the OpenTelemetry SDK say: not the pages, and not the mistakes in the test of this checker. */
const sources = files
  .filter((file) => !/\.md$|^test\/unit\/pages/.test(file))
  .concat(globSync('node_modules/@opentelemetry/{configuration,sdk-*}/dist/*.cjs', { cwd: ROOT }))
  .map(read)
  .join('\n');

/** Folder → its package.json. */
const manifests = new Map<string, Record<string, Record<string, string>>>(
  files
    .filter((file) => /(^|\/)package\.json$/.test(file))
    .map((file) => [dirname(file), JSON.parse(read(file))]),
);

/** Whether the repository has this file, or files in this folder. */
function isThere(path: string): boolean {
  const wanted = path.replace(/\/$/, '');
  return files.some((f) => f === wanted || f.startsWith(`${wanted}/`));
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

function matches(text: string, pattern: RegExp): RegExpExecArray[] {
  return [...text.matchAll(pattern)];
}

/** Whether `actual` is what the page says; "…" stands for any text, a line "…" for any further lines. */
export function sameText(expected: string, actual: string): boolean {
  const clean = (text: string) => text.trim().replace(/[ \t\r]+$/gm, '');
  const pattern = clean(expected)
    .split('\n')
    .map((line) => (/^\s*…$/.test(line) ? '(?:.*\n)*?.*' : linePattern(line)))
    .join('\n');
  return new RegExp(`^${pattern}$`).test(clean(actual));
}

/** The same, for lines that may come in any order. */
export function sameLines(expected: string, actual: string[]): boolean {
  const left = actual.map((line) => line.trim());
  const wanted = expected.split('\n').map((line) => line.trim());
  for (const line of wanted.filter((l) => l && l !== '…')) {
    const whole = new RegExp(`^${linePattern(line)}$`);
    const at = left.findIndex((l) => whole.test(l));
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return wanted.includes('…') || left.length === 0;
}

function linePattern(line: string): string {
  return line
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
    .replace(/ +/g, ' +');
}
