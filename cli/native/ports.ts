import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { portToPid } from 'pid-port';
import { isListening } from '../checks.ts';
import type { Component } from '../components/component.ts';
import { readSettings, type Settings } from '../settings.ts';

/** The ports that these publish on 127.0.0.1. */
export const publishedPorts = (parts: Component[], settings: Settings) =>
  parts.flatMap(({ title, ports }) =>
    ports.flatMap(({ setting }) => (setting ? [{ title, setting, port: settings[setting] }] : [])),
  );

/**
 * Refuses to start when something listens on a port that these publish.
 * @param holder names who does; undefined when that is nobody who minds
 * @throws Error with one sentence for each port
 */
export async function refuseBusyPorts(
  parts: Component[],
  settings: Settings,
  holder: (port: number) => Promise<string | undefined> = portHolder,
): Promise<void> {
  const sentences: string[] = [];
  const moves: string[] = [];
  for (const { title, setting, port } of publishedPorts(parts, settings)) {
    const name = (await isListening(port)) && (await holder(port));
    if (!name) continue;
    sentences.push(`Port ${port}, which ${title} needs, is held by ${name}.\n`);
    moves.push(`${setting}=${port + 10_000}`);
  }
  if (sentences.length > 0)
    throw new Error(
      `${sentences.join('')}Nothing was started. End what holds it, or choose another port (${moves.join(' ')}, in your shell or in .env), and run the command again.`,
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
  const usual = readSettings({});
  const isSecond = publishedPorts(parts, usual).some(
    ({ setting, port }) => port !== settings[setting],
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

/** Who listens on a TCP port: "process 4711 (nginx: master process)", or that it cannot be seen. */
export async function portHolder(port: number): Promise<string> {
  const pid = await portToPid({ port, host: '*' }).catch(() => undefined);
  if (!pid) return 'a process of another user, or one outside this container';
  return `process ${pid} (${(await commandLine(pid)) || 'already gone'})`;
}

/** The command line of a process; empty when there is no such process. */
export const commandLine = async (pid: number): Promise<string> =>
  process.platform === 'linux' // where there may be no ps
    ? (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').trim()
    : ps(pid, 'args');

/** Resident memory in MB (10^6 bytes), or undefined where it cannot be read. */
export async function residentMegabytes(pid: number): Promise<number | undefined> {
  const kilobytes = Number(await ps(pid, 'rss'));
  return kilobytes ? Math.round((kilobytes * 1024) / 1e6) : undefined;
}

async function ps(pid: number, column: string): Promise<string> {
  const { stdout } = await execa('ps', ['-o', `${column}=`, '-p', `${pid}`], { reject: false });
  return stdout;
}
