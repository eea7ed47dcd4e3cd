import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import GithubSlugger from 'github-slugger';
import {
  Lexer,
  Parser,
  TextRenderer,
  walkTokens,
  type Token,
  type Tokens,
} from 'marked';
import { ROOT, components, imagesOf } from '../stack/components.ts';

// What every page of the tutorial must keep to, so that it cannot go out of date unseen.
// CONTRIBUTING.md tells authors how to mark a block.

/** What a block of a page is, from the words after its language. */
export type Block = {
  page: string;
  line: number;
  language: string;
  text: string;
} & (
  | { kind: 'quote'; file: string }
  | { kind: 'command' }
  | { kind: 'command not run'; reason: string }
  | { kind: 'query'; needs?: string }
  | { kind: 'answer' }
  | { kind: 'output'; reason?: string }
  | { kind: 'own service'; file?: string }
  | { kind: 'layout' }
);

export interface Page {
  blocks: Block[];
  problems: string[];
  /** How many of each were looked at. */
  counts: Record<string, number>;
}

const VARIABLE = /\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g;
const QUERY_LANGUAGES = ['promql', 'logql', 'traceql'];
const MARKS = `Write one of these after its language: file=<path> for a quote, run or norun="<why>" for commands, answer below a query, output below a command that is run, output="<why it is not compared>", own or own=<file> in docs/own-service.md, layout.`;

/** The pages of the tutorial, in the order in which they are read. */
export function pages(): string[] {
  return files().filter(
    (file) =>
      /^(README|CONTRIBUTING|CHANGELOG)\.md$/.test(file) ||
      /^docs\/.*\.md$/.test(file),
  );
}

/** Reads a page and checks all of it that can be checked without a running stack. */
export function readPage(page: string, text?: string): Page {
  const source = text ?? readFileSync(join(ROOT, page), 'utf8');
  const tokens = Lexer.lex(source);
  const blocks: Block[] = [];
  const problems: string[] = [];
  const counts: Record<string, number> = {};
  const count = (what: string) => (counts[what] = (counts[what] ?? 0) + 1);
  const lineOf = (part: string) => {
    // in a list a block is indented: then its second line finds it
    const lines = part.trim().split('\n');
    const at = [part.trim(), lines[1], lines[0]]
      .map((text) => (text ? source.indexOf(text.trim()) : -1))
      .find((found) => found >= 0);
    return source.slice(0, at ?? 0).split('\n').length;
  };
  const problem = (part: string, what: string) =>
    problems.push(`${page}:${lineOf(part)}: ${what}`);
  const elsewhere = new Set(
    [...source.matchAll(/<!-- elsewhere: ([^]*?) -->/g)].flatMap(([, names]) =>
      names!.split(',').map((name) => name.trim()),
    ),
  );
  const about = (part: string, facts: Iterable<Fact>) => {
    for (const [what, wrong, name] of facts) {
      const isElsewhere = wrong && name && elsewhere.has(name);
      count(isElsewhere ? 'name: of another project' : what);
      if (wrong && !isElsewhere) problem(part, wrong);
    }
  };

  void walkTokens(tokens, (token: Token) => {
    if (token.type === 'code') {
      const [language = '', ...info] = (token.lang ?? '').match(
        /(?:[^\s"]|"[^"]*")+/g,
      ) ?? [''];
      const block = {
        page,
        line: lineOf(token.raw),
        language,
        text: token.text as string,
      };
      const marked = classify(block, info, blocks.at(-1));
      if (typeof marked === 'string') return void problem(token.raw, marked);
      blocks.push(marked);
      count(`block: ${marked.kind}`);
      if (marked.kind === 'quote') {
        const wrong = quoteProblem(marked.file, marked.text);
        if (wrong) problem(token.raw, wrong);
      }
      if (marked.kind === 'layout')
        about(
          token.raw,
          [...marked.text.matchAll(/^(\S+(?:\/|\.\w+))(?:  (\S+\/))*/gm)].map(
            ([name]) => pathFact(page, name!.split(/ /)[0]!),
          ),
        );
      if (marked.language === 'sh')
        about(token.raw, [
          // the scripts of a new application are not ours
          ...(marked.kind === 'own service' ? [] : commandFacts(marked.text)),
          ...portFacts(marked.text),
          ...packageFacts(marked.text),
          ...[...marked.text.matchAll(VARIABLE)].map(([name]) =>
            variableFact(name),
          ),
        ]);
    } else if (token.type === 'link' || token.type === 'image')
      about(token.raw, [linkFact(page, token.href as string, source)]);
    else if (token.type === 'html')
      about(
        token.raw,
        [
          ...(token.raw as string).matchAll(/\b(?:src|srcset|href)="([^"]+)"/g),
        ].map(([, href]) => linkFact(page, href!, source)),
      );
    else if (token.type === 'table') {
      const column = (token as Tokens.Table).header.findIndex(
        ({ text }) => text === 'port',
      );
      for (const row of (token as Tokens.Table).rows)
        for (const [port] of row[column]?.text.matchAll(/\d{4,5}/g) ?? [])
          about(token.raw, portFacts(`:${port}`));
    } else if (token.type === 'codespan')
      about(token.raw, spanFacts(page, token.text as string, elsewhere));
    else if (token.type === 'text' && !('tokens' in token && token.tokens))
      about(token.raw, [...portFacts(token.text), ...versionFacts(token.text)]);
  });
  blocks.forEach((block, i) => {
    if (block.kind === 'query' && blocks[i + 1]?.kind !== 'answer')
      problem(
        block.text,
        'a query needs its answer in a block "text answer" below it',
      );
  });
  return { blocks, problems, counts };
}

function classify(
  block: Pick<Block, 'page' | 'line' | 'language' | 'text'>,
  info: string[],
  before: Block | undefined,
): Block | string {
  const mark = info[0] ?? '';
  const [key, ...rest] = mark.split('=');
  const value = rest.join('=').replace(/^"|"$/g, '').trim();
  if (QUERY_LANGUAGES.includes(block.language)) {
    if (key && key !== 'needs') return `"${mark}" says nothing about a query`;
    return { ...block, kind: 'query', needs: value || undefined };
  }
  switch (key) {
    case 'file':
      return { ...block, kind: 'quote', file: value };
    case 'run':
      return { ...block, kind: 'command' };
    case 'norun':
      if (!value) return 'norun needs a reason';
      return { ...block, kind: 'command not run', reason: value };
    case 'answer':
      if (before?.kind !== 'query') return 'an answer needs a query above it';
      return { ...block, kind: 'answer' };
    case 'output':
      if (!value && before?.kind !== 'command')
        return 'output needs a command that is run above it, or a reason why it is not compared';
      return { ...block, kind: 'output', reason: value || undefined };
    case 'own':
      return { ...block, kind: 'own service', file: value || undefined };
    case 'layout':
      return { ...block, kind: 'layout' };
    default:
      return `nothing says what this block is. ${MARKS}`;
  }
}

// ---- quotes

const ELISION = /^\s*(?:#|\/\/|;)? ?…$/;

/**
 * Why `quote` is not what the file says. A line that is a comment with nothing but "…" stands for
 * left out lines; what lies between is to be consecutive lines of the file, less a common indentation.
 */
function quoteProblem(file: string, quote: string): string | undefined {
  if (!existsSync(join(ROOT, file))) return `there is no file ${file}`;
  const lines = readFileSync(join(ROOT, file), 'utf8').split('\n');
  let from = 0;
  for (const part of splitAt(quote.split('\n'), ELISION)) {
    const start = findLines(lines, part, from);
    if (start === undefined) {
      const known = part.find(
        (line) => !lines.some((l) => l.trim() === line.trim()),
      );
      return `${file} does not say this any more: ${known ?? `${part[0]} (with the lines below it, in this order)`}`;
    }
    from = start + part.length;
  }
  return undefined;
}

function splitAt(lines: string[], separator: RegExp): string[][] {
  const parts: string[][] = [[]];
  for (const line of lines)
    if (separator.test(line)) parts.push([]);
    else parts.at(-1)!.push(line);
  return parts.filter((part) => part.some((line) => line.trim()));
}

function findLines(
  lines: string[],
  part: string[],
  from: number,
): number | undefined {
  const indentation = (line: string) => /^ */.exec(line)![0];
  for (let i = from; i + part.length <= lines.length; i++) {
    const [first, here] = [indentation(part[0]!), indentation(lines[i]!)];
    if (!here.startsWith(first)) continue;
    const pad = here.slice(first.length);
    if (part.every((line, n) => lines[i + n] === (line && pad + line)))
      return i;
  }
  return undefined;
}

// ---- facts: what was looked at, what is wrong with it, and its name

type Fact = [what: string, wrong: string | undefined, name?: string];

/** A cached value. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** Every file of the repository, committed or new. */
const files = once(() =>
  execFileSync(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard'],
    { cwd: ROOT, encoding: 'utf8' },
  )
    .trim()
    .split('\n')
    .filter((file) => existsSync(join(ROOT, file))),
);

/** What the repository says, prose and lists of checksums left out. */
const sources = once(() =>
  files()
    .filter((file) => !/\.md$|package-lock|go\.sum$|docs-check/.test(file))
    .map((file) => `${file}\n${readFileSync(join(ROOT, file), 'utf8')}`)
    .join('\n'),
);

/** What the OpenTelemetry SDK says: the variables that it reads. */
const telemetrySdk = once(() =>
  globSync(
    'node_modules/@opentelemetry/{sdk-*,core,resources,configuration,otlp-*,instrumentation-http}/**/*.{cjs,js}',
    { cwd: ROOT },
  )
    .map((file) => readFileSync(join(ROOT, file), 'utf8'))
    .join('\n'),
);

const json = (file: string) =>
  JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as {
    version: string;
    scripts: Record<string, string>;
    dependencies?: Record<string, string>;
    devDependencies?: Record<string, string>;
  };

const ports = once(
  () =>
    new Set(
      components.flatMap((c) => Object.entries(c.ports).flat().map(String)),
    ),
);

const versions = once(
  () =>
    new Set([
      ...components.map(({ version }) => version),
      ...files()
        .filter((file) => /(^|\/)Dockerfile$/.test(file))
        .flatMap((file) => imagesOf(dirname(file)))
        .map((image) => /:v?([\d.]+)/.exec(image)?.[1]),
      ...['package.json', 'backend-example/package.json']
        .map(json)
        .flatMap(({ version, dependencies, devDependencies }) => [
          version,
          ...Object.values({ ...dependencies, ...devDependencies }),
        ]),
    ]),
);

function linkFact(page: string, href: string, source: string): Fact {
  if (/^https?:\/\/(localhost|127\.0\.0\.1)/.test(href))
    return portFacts(href)[0] ?? ['link: local', undefined];
  if (/^[a-z]+:/.test(href)) return ['link: to another site', undefined];
  const [path = '', anchor] = decodeURI(href).split('#');
  const target = path ? normalize(join(dirname(page), path)) : page;
  const what = anchor ? 'link: anchor' : 'link: file';
  if (!existsSync(join(ROOT, target)))
    return [what, `the link ${href} leads to nothing`];
  if (!anchor) return [what, undefined];
  const text =
    target === page ? source : readFileSync(join(ROOT, target), 'utf8');
  const found = anchors(text).includes(anchor);
  return [what, found ? undefined : `${target} has no heading #${anchor}`];
}

function anchors(text: string): string[] {
  const slugger = new GithubSlugger();
  return Lexer.lex(text)
    .filter((token): token is Tokens.Heading => token.type === 'heading')
    .map((token) =>
      slugger.slug(
        Parser.parseInline(token.tokens, {
          renderer: new TextRenderer(),
        } as any),
      ),
    );
}

function pathFact(page: string, name: string): Fact {
  const path = name.replace(/\/$/, '').replace(/^\.\//, '');
  const there =
    isGenerated(path) ||
    existsSync(join(ROOT, path)) ||
    existsSync(join(ROOT, dirname(page), path)) ||
    files().some((file) => `/${file}/`.includes(`/${path}/`));
  return ['name: path', there ? undefined : `there is no ${name}`, name];
}

function variableFact(name: string): Fact {
  const known =
    new RegExp(`\\b${name}\\b`).test(sources()) ||
    (name.startsWith('OTEL_') && telemetrySdk().includes(`"${name}"`));
  return [
    'name: environment variable',
    known ? undefined : `nothing reads the variable ${name}`,
    name,
  ];
}

function commandFacts(text: string): Fact[] {
  return [
    ...text.matchAll(
      /\bnpm (?:run )?(start|stop|test|(?<=run )[\w:-]+)(?![\w:-])(?: -w ([\w-]+))?/g,
    ),
  ].map(([command, script, workspace]) => {
    const { scripts } = json(
      workspace ? `${workspace}/package.json` : 'package.json',
    );
    return [
      'name: npm script',
      scripts[script!] ? undefined : `there is no script for "${command}"`,
    ];
  });
}

function portFacts(text: string): Fact[] {
  return [
    ...text.matchAll(
      /(?:\b(?:localhost|127\.0\.0\.1|0\.0\.0\.0|[a-z][a-z-]*)|(?<![\w.:]))[:](\d{4,5})\b|\bports? (\d{4,5})\b/g,
    ),
  ].map(([, a, b]) => {
    const port = (a ?? b)!;
    return [
      'name: port',
      ports().has(port) ? undefined : `no component has port ${port}`,
      port,
    ];
  });
}

/** Packages with a version, as in npm install: those that we have, at our version. */
function packageFacts(text: string): Fact[] {
  const ours = Object.assign(
    {},
    ...['package.json', 'backend-example/package.json']
      .map(json)
      .map((p) => ({ ...p.dependencies, ...p.devDependencies })),
  ) as Record<string, string>;
  return [...text.matchAll(/(@?[\w/.-]+)@(\d+\.\d+\.\d+)/g)].map(
    ([, name, version]) => [
      'name: version',
      ours[name!] === version
        ? undefined
        : `${name} is ${ours[name!] ?? 'no package of ours'}, not ${version}`,
    ],
  );
}

function versionFacts(text: string): Fact[] {
  const facts: Fact[] = [];
  for (const [, version] of text.matchAll(
    /(?<![\d.])v?(\d+\.\d+\.\d+)(?![\d.]*\d)/g,
  ))
    facts.push([
      'name: version',
      versions().has(version!) ? undefined : `${version} is no version of ours`,
      version,
    ]);
  for (const { title, version } of components) {
    const named = new RegExp(`\\b${title} v?(\\d+\\.\\d+(?:\\.\\d+)?)`, 'g');
    for (const [, found] of text.matchAll(named))
      facts.push([
        'name: version',
        `${version}.`.startsWith(`${found}.`)
          ? undefined
          : `${title} is ${version}, not ${found}`,
      ]);
  }
  return facts;
}

/** A `code` span: each of its words is a script, a port, a variable, a file, or is said in some source. */
function spanFacts(
  page: string,
  text: string,
  elsewhere: Set<string>,
): Iterable<Fact> {
  if (elsewhere.has(text)) return [['name: of another project', undefined]];
  if (/^npm (?!install|pkg)/.test(text)) return commandFacts(text);
  const facts = [...portFacts(text), ...versionFacts(text)];
  if (/^\d{4,5}$/.test(text)) facts.push(...portFacts(`:${text}`));
  if (facts.length > 0 || sources().includes(text)) {
    if (facts.length === 0) facts.push(['name: said in a source', undefined]);
    return facts;
  }
  for (const [match] of text.matchAll(/[\w$@~.][\w$@./:-]*/g)) {
    const word = match.replace(/[.:]$/, '');
    if (word.length < 3) continue;
    if (/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/.test(word))
      facts.push(variableFact(word));
    else if (
      /^[\w.-]+(\/[\w.-]+)*(\/|\.(ts|ya?ml|json|ini|md|svg|sql|js))$/.test(word)
    )
      facts.push(pathFact(page, word));
    else
      facts.push([
        'name: said in a source',
        sources().includes(word) || isRoute(word) || isGenerated(word)
          ? undefined
          : `nothing in the repository says ${word}`,
        word,
      ]);
  }
  return facts;
}

/** A URL's path with an id in the place of a parameter, such as books/find/1. */
const isRoute = (word: string) =>
  sources().includes(word.replace(/\/\d+$/, '/:id'));

/** A path below a folder that is made here: .stack/data, dist/main.js or ~/.cache/lgtm-stack. */
const isGenerated = (word: string) =>
  /^(~\/)?(\.\w+|dist)\//.test(word) &&
  word.split('/').every((part) => part === '~' || sources().includes(part));

// ---- answers

/** Whether `actual` is what the page says; "…" stands for any text, a line "…" for any further lines. */
export function sameText(expected: string, actual: string): boolean {
  const pattern = expected
    .trim()
    .split('\n')
    .map((line) => line.trimEnd())
    .map((line) => (/^\s*…$/.test(line) ? '(?:.*\n)*?.*' : linePattern(line)))
    .join('\n');
  return new RegExp(`^${pattern}$`).test(
    actual.trim().replace(/[ \t\r]+$/gm, ''),
  );
}

/** The same, for lines that may come in any order. */
export function sameLines(expected: string, actual: string[]): boolean {
  const wanted = expected
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const more = wanted.includes('…');
  const left = [...actual];
  for (const line of wanted.filter((l) => l !== '…')) {
    const at = left.findIndex((l) =>
      new RegExp(`^${linePattern(line)}$`).test(l.trim()),
    );
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return more || left.length === 0;
}

const linePattern = (line: string) =>
  line
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
    .replace(/ +/g, ' +');
