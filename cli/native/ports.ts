import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isListening } from '../checks.ts';
import type { Component } from '../components/component.ts';
import { SETTINGS, type PortSetting, type Settings } from '../settings.ts';

const LINUX = process.platform === 'linux';

/** A port that has to be free. */
export interface NeededPort {
  title: string;
  port: number;
  /** The setting that chooses another. */
  setting?: PortSetting;
}

/** The ports that these publish on 127.0.0.1. */
export const publishedPorts = (parts: Component[], settings: Settings) =>
  parts.flatMap(({ title, ports }) =>
    ports.flatMap(({ setting }) => (setting ? [{ title, setting, port: settings[setting] }] : [])),
  ) satisfies NeededPort[];

/**
 * Refuses to start when something listens on one of these ports.
 * @param holder names who does; undefined when that is nobody who minds
 * @throws Error with one sentence for each port
 */
export async function refuseBusyPorts(
  needed: NeededPort[],
  holder: (port: number) => Promise<string | undefined>,
): Promise<void> {
  const sentences: string[] = [];
  const moves: string[] = [];
  for (const { title, port, setting } of needed) {
    const name = (await isListening(port)) && (await holder(port));
    if (!name) continue;
    sentences.push(`Port ${port}, which ${title} needs, is held by ${name}.\n`);
    if (setting) moves.push(`${setting}=${port + 10_000}`);
  }
  if (sentences.length === 0) return;
  const those = sentences.length > 1 ? 'these processes' : 'that process';
  const move =
    moves.length > 0
      ? `, or choose another port (${moves.join(' ')}, in your shell or in .env),`
      : '';
  throw new Error(
    `${sentences.join('')}Nothing was started. End ${those}${move} and run the command again.`,
  );
}

/**
 * The ports of a native run, by "name:inside": published ones as set, and the others as usual, if they are free
 * and the published ones are the usual ones. A second stack takes any: what is free now may only be between two
 * processes of the first.
 */
export async function choosePorts(
  parts: Component[],
  settings: Settings,
): Promise<Map<string, number>> {
  const chosen = new Map<string, number>();
  const all = parts.flatMap(({ name, ports }) => ports.map((port) => ({ name, ...port })));
  for (const { name, inside, setting } of all)
    if (setting) chosen.set(`${name}:${inside}`, settings[setting]);
  const isSecond = publishedPorts(parts, settings).some(
    ({ setting, port }) => String(port) !== SETTINGS[setting].usual,
  );
  for (const { name, inside, setting, native = inside } of all) {
    if (setting) continue;
    const any = () => 20_000 + randomInt(12_000); // below those that clients are given
    let port = isSecond ? any() : native;
    while ([...chosen.values()].includes(port) || (await isListening(port))) port = any();
    chosen.set(`${name}:${inside}`, port);
  }
  return chosen;
}

/** Who listens on a TCP port, at `::1` if that is asked: "process 4711 (nginx: master process)", or that it cannot be seen. */
export async function portHolder(port: number, host?: '::1'): Promise<string> {
  const pid = await (LINUX ? listenerOnLinux(port, host) : listenerByLsof(port, host));
  if (!pid) return 'a process of another user, or one outside this container';
  return `process ${pid} (${(await commandLine(pid)) || 'already gone'})`;
}

async function listenerOnLinux(port: number, host?: '::1'): Promise<number | undefined> {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = new Set<string>();
  for (const table of host ? ['tcp6'] : ['tcp', 'tcp6'])
    for (const line of (await read(`/proc/net/${table}`)).split('\n')) {
      const [, address, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (address?.endsWith(end) && state === '0A') sockets.add(`socket:[${inode}]`); // 0A = LISTEN
    }
  // What cannot be read belongs to another user, or is gone.
  for (const pid of (await readdir('/proc')).filter(Number))
    for (const file of await readdir(`/proc/${pid}/fd`).catch(() => []))
      if (sockets.has(await readlink(`/proc/${pid}/fd/${file}`).catch(() => '')))
        return Number(pid);
  return undefined;
}

const listenerByLsof = async (port: number, host?: '::1'): Promise<number> =>
  parseInt(await output('lsof', '-nPt', `-i${host ? 6 : ''}TCP:${port}`, '-sTCP:LISTEN'));

/** The command line of a process; empty when there is no such process. */
export const commandLine = async (pid: number): Promise<string> =>
  LINUX
    ? (await read(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ').trim()
    : output('ps', '-o', 'args=', '-p', `${pid}`);

/** Resident memory in MB (10^6 bytes), or undefined where it cannot be read. */
export async function residentMegabytes(pid: number): Promise<number | undefined> {
  const kilobytes = LINUX
    ? /VmRSS:\s+(\d+) kB/.exec(await read(`/proc/${pid}/status`))?.[1]
    : await output('ps', '-o', 'rss=', '-p', `${pid}`);
  return kilobytes ? Math.round((Number(kilobytes) * 1024) / 1e6) : undefined;
}

/** What is in a file; nothing when it cannot be read. */
const read = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');

/** What a program prints; nothing when it fails. */
const output = (file: string, ...args: string[]): Promise<string> =>
  promisify(execFile)(file, args).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
