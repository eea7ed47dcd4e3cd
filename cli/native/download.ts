import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { unzipSync } from 'fflate';
import { extract } from 'tar';
import type { Progress } from '../terminal.ts';

/** Where a publisher has a program. */
export interface Release {
  /** An archive, or the bare program. */
  url: string;
  /** A text with lines "<sha256>  <file name>", or with the sha256 alone; relative to `url`. */
  checksums: string;
  /** The program's path in the archive. */
  path: string;
}

/** A download is not what its publisher says it is. Never ignored, never retried silently. */
export class ChecksumError extends Error {}

/**
 * Downloads a release, compares it with the published checksum, and unpacks it into `folder`. Another
 * process may download the same at the same time: each works in a folder of its own, and who comes
 * second finds it done.
 */
export async function downloadRelease(
  { url, checksums, path }: Release,
  folder: string,
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  const list = new URL(checksums, url).href;
  const checksum = await publishedChecksum(basename(url), list, stop);
  await mkdir(dirname(folder), { recursive: true });
  const work = await mkdtemp(`${folder}.`);
  const archive = join(work, basename(url));
  try {
    if ((await download(url, archive, progress, stop)) !== checksum)
      throw new ChecksumError(
        `${url} does not match its published checksum (${list}) and was deleted. Run the command again; if it stays so, do not use this download.`,
      );
    const unpacked = join(work, 'unpacked');
    await unpack(archive, unpacked, path);
    await chmod(join(unpacked, path), 0o755).catch(() => {
      throw new Error(`${url} holds no file ${path}`);
    });
    await rename(unpacked, folder).catch((error: unknown) => {
      if (!existsSync(join(folder, path))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Of a zip only the program at `path`; what is no archive is the program itself. */
async function unpack(archive: string, folder: string, path: string): Promise<void> {
  const program = join(folder, path);
  await mkdir(dirname(program), { recursive: true });
  if (archive.endsWith('.tar.gz')) await extract({ file: archive, cwd: folder });
  else if (archive.endsWith('.zip')) {
    const filter = ({ name }: { name: string }) => name === path;
    const { [path]: bytes } = unzipSync(await readFile(archive), { filter });
    if (bytes) await writeFile(program, bytes);
  } else await rename(archive, program);
}

async function publishedChecksum(file: string, url: string, stop: AbortSignal): Promise<string> {
  const lines = (await (await get(url, stop)).text()).trim().split('\n');
  const line =
    lines.find((each) => each.trim().split(/\s+\*?/)[1] === file) ??
    (lines.length === 1 ? lines[0]! : '');
  const checksum = /^[0-9a-f]{64}\b/.exec(line)?.[0];
  if (!checksum) throw new Error(`${url} has no checksum of ${file}`);
  return checksum;
}

/** Downloads a file, and answers its sha256. */
async function download(
  url: string,
  file: string,
  progress: Progress,
  stop: AbortSignal,
): Promise<string> {
  const { headers, body } = await get(url, stop);
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  const total = megabytes(Number(headers.get('content-length')));
  const hash = createHash('sha256');
  let done = 0;
  const received = Readable.fromWeb(body!).on('data', (bytes: Buffer) => {
    hash.update(bytes);
    done += bytes.length;
    progress(`downloading: ${megabytes(done)} of ${total} MB`);
  });
  await pipeline(received, createWriteStream(file), { signal: stop });
  return hash.digest('hex');
}

async function get(url: string, stop: AbortSignal): Promise<Response> {
  const connecting = new AbortController();
  const timer = setTimeout(() => connecting.abort(new Error('no answer within 5 s')), 5_000);
  const signal = AbortSignal.any([stop, connecting.signal]);
  const response = await fetch(url, { signal }).finally(() => clearTimeout(timer));
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response;
}
