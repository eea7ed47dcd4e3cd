import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ROOT, components, type Component } from './components.ts';

/**
 * Rewrites one config file of a container for a native run on this machine:
 * `0.0.0.0`, `0.0.0.0:PORT` and other components' `name:PORT` become 127.0.0.1 with the port of a
 * native run, and folders of the container become `folders` (absolute paths).
 */
export function nativeConfig(
  text: string,
  own: Pick<Component, 'ports'>,
  folders: Record<string, string>,
  all: Pick<Component, 'name' | 'ports'>[] = components,
): string {
  let result = text
    .replace(
      /\b0\.0\.0\.0:(\d+)\b/g,
      (_, port) => `127.0.0.1:${own.ports[Number(port)] ?? port}`,
    )
    .replace(/\b0\.0\.0\.0\b/g, '127.0.0.1');
  for (const other of all)
    result = result.replace(
      new RegExp(`(?<![\\w.-])${other.name}:(\\d+)\\b`, 'g'),
      (_, port) => `127.0.0.1:${other.ports[Number(port)] ?? port}`,
    );
  for (const [inside, here] of Object.entries(folders))
    result = result.replace(
      // a whole path or its start: not the tail of a longer path or of a URL
      new RegExp(`(?<![\\w./-])${inside}(?![\\w-])`, 'g'),
      () => here,
    );
  return result;
}

/** Writes the config files of a component, rewritten for a native run, into `target`. */
export async function writeNativeConfig(
  component: Component,
  target: string,
  data: string,
): Promise<void> {
  const source = join(ROOT, component.name);
  const folders = Object.fromEntries(
    Object.entries(component.folders).map(([inside, kind]) => [
      inside,
      kind === 'config' ? target : data,
    ]),
  );
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  const entries = await readdir(source, {
    recursive: true,
    withFileTypes: true,
  });
  for (const entry of entries) {
    if (!entry.isFile() || entry.name === 'Dockerfile') continue;
    const from = join(entry.parentPath, entry.name);
    const to = join(target, from.slice(source.length));
    await mkdir(dirname(to), { recursive: true });
    const own = process.env[component.secrets?.[entry.name] ?? ''];
    if (own) await cp(own, to);
    else if (/\.(ya?ml|ini|json)$|-url$/.test(entry.name))
      await writeFile(
        to,
        nativeConfig(await readFile(from, 'utf8'), component, folders),
      );
    else await cp(from, to);
  }
}
