import { stripVTControlCharacters } from 'node:util';

const COLUMNS = 104;
const [CHARACTER, LINE, MARGIN] = [7.8, 18, 16]; // in units of the picture

/** The text without what differs from run to run: numbers, ids, bars. */
export const timeless = (text: string): string =>
  text
    .replace(/[0-9a-f]{16,}/g, '#')
    .replace(/\d+/g, '#')
    .replace(/[·█]+/g, '▒')
    .replace(/ +/g, ' ');

/**
 * The lines of a terminal's output that a picture of it has: not the links into Grafana, whose queries
 * are longer than any picture is wide.
 */
export const pictured = (output: string): string =>
  output
    .split('\n')
    .filter((line) => !/^ +in Grafana/.test(line))
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();

/**
 * A terminal's output as an SVG, dark or light as the reader's system is. Knows bold, as the tour uses it.
 * @param output with its escape sequences
 */
export function terminalPicture(command: string, output: string): string {
  const lines = [`$ ${command}`, '', ...pictured(output).split('\n')].map((line) => {
    const text = stripVTControlCharacters(line);
    return {
      text: text.length > COLUMNS ? `${text.slice(0, COLUMNS - 1)}…` : text,
      bold: line !== text,
    };
  });
  const width = COLUMNS * CHARACTER + 2 * MARGIN;
  const height = lines.length * LINE + 2 * MARGIN;
  const rows = lines.map(({ text, bold }, i) => {
    const y = MARGIN + (i + 0.75) * LINE;
    // textLength: columns stay columns, whatever the reader's font
    return text
      ? `<text x="${MARGIN}" y="${y}" textLength="${(text.length * CHARACTER).toFixed(1)}"${bold ? ' class="bold"' : ''}>${escape(text)}</text>\n`
      : '';
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">
<title>${escape(command)}</title>
<style>
  rect { fill: #f6f8fa; stroke: #d0d7de }
  text { fill: #1f2328; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre }
  .bold { font-weight: 700 }
  @media (prefers-color-scheme: dark) {
    rect { fill: #161b22; stroke: #30363d }
    text { fill: #e6edf3 }
  }
</style>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8"/>
${rows.join('')}</svg>
`;
}

/** The text of a picture that terminalPicture() made, without its command. */
export const textOf = (picture: string): string[] =>
  [...picture.matchAll(/<text [^>]*>(.*)<\/text>/g)].map(([, text]) => unescape(text!)).slice(1);

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const escape = (text: string) => text.replace(/[&<>]/g, (c) => ENTITIES[c as '&']);
const unescape = (text: string) =>
  Object.entries(ENTITIES).reduceRight((all, [c, entity]) => all.replaceAll(entity, c), text);
