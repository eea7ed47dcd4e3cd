import { globSync } from 'node:fs';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Component } from '../components/component.ts';
import { components } from '../components/index.ts';
import { ROOT } from '../paths.ts';
import type { Settings } from '../settings.ts';

/** The port of a component on 127.0.0.1, by its number inside the container; undefined where it has none such. */
export type PortLookup = (name: string, inside: number) => number | undefined;

/**
 * Rewrites one config file of a container for a native run, in one pass: what is put in is not read again.
 *
 * - `0.0.0.0` and `0.0.0.0:PORT`, other components' `name:PORT` and `localhost:PORT` become 127.0.0.1 (or
 *   stay localhost) with the port of this run
 * - `…_port: PORT` becomes the component's own port of this run
 * - folders of the container become `folders` (absolute paths)
 */
export function nativeConfig(
  text: string,
  own: string,
  folders: Record<string, string>,
  port: PortLookup,
): string {
  const names = components.map(({ name }) => name);
  const longestFirst = Object.keys(folders).sort((a, b) => b.length - a.length);
  const pattern = [
    String.raw`\b0\.0\.0\.0(?::(?<listen>\d+)\b)?`,
    String.raw`(?<![\w.-])(?<name>${names.join('|')}):(?<there>\d+)\b`,
    String.raw`\blocalhost:(?<local>\d+)\b`,
    String.raw`(?<key>\w_port\s*[:=]\s*)(?<number>\d+)\b`,
    // a whole path or its start: not the tail of a longer path or of a URL
    String.raw`(?<![\w./-])(?<folder>${longestFirst.join('|') || '(?!)'})(?![\w-])`,
  ].join('|');
  const anybodys = (number: string) =>
    [own, ...names].map((name) => port(name, Number(number))).find((found) => found !== undefined);
  return text.replace(new RegExp(pattern, 'g'), (...match) => {
    const groups = match.at(-1) as Record<string, string | undefined>;
    const { listen, name, there, local, key, number, folder } = groups;
    if (folder) return folders[folder]!;
    if (name) return `127.0.0.1:${port(name, Number(there)) ?? there}`;
    if (local) return `localhost:${anybodys(local) ?? local}`;
    if (key) return `${key}${port(own, Number(number)) ?? number}`;
    return listen ? `127.0.0.1:${port(own, Number(listen)) ?? listen}` : '127.0.0.1';
  });
}

/**
 * Writes the config of a component, rewritten for a native run, into `config`.
 * @param data the folder of its data
 * @param more config files of others for it
 */
export async function writeNativeConfig(
  { name, folders, secrets = {} }: Component,
  settings: Settings,
  port: PortLookup,
  config: string,
  data: string,
  more: string[] = [],
): Promise<void> {
  const source = join(ROOT, name);
  const here = { config, data };
  const places = Object.entries(folders ?? {}).map(([inside, kind]) => [inside, here[kind]]);
  await rm(config, { recursive: true, force: true });
  const filter = (file: string) => basename(file) !== 'Dockerfile';
  await cp(source, config, { recursive: true, filter });
  for (const file of more) await cp(file, join(config, basename(file)));
  for (const file of globSync('**/*{.yaml,.yml,.ini,.json,-url}', { cwd: config })) {
    const path = join(config, file);
    const text = await readFile(path, 'utf8');
    await writeFile(path, nativeConfig(text, name, Object.fromEntries(places), port));
  }
  for (const [file, setting] of Object.entries(secrets))
    if (settings[setting] !== join(source, file)) await cp(settings[setting], join(config, file));
}
