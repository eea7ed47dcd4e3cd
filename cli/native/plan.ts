import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Component } from '../components/component.ts';
import { components, programOf } from '../components/index.ts';
import type { Context } from '../context.ts';
import { RunFolder, type RunRecord, type RunningComponent } from '../run.ts';
import { writeNativeConfig, type PortLookup } from './config.ts';
import { choosePorts, refuseBusyPorts } from './ports.ts';
import { baseEnvironment, type Command } from './process.ts';
import { findProgram, obtainPrograms, type Program } from './programs.ts';

/** One process of a native run. */
export interface PlannedProcess
  extends Omit<RunningComponent, 'pid'>, Pick<Component, 'after' | 'stops'> {
  command: Command;
}

/** What the supervisor is told. */
export interface NativePlan {
  folder: string;
  ports: RunRecord['ports'];
  processes: PlannedProcess[];
}

/** A component and its program, or what takes their place. */
interface Part {
  component: Component;
  file: string;
  version: string;
  source: string;
}

/**
 * Prepares a native run: programs, config files, database and the service's build. Nothing is started.
 * @returns the plan, and one sentence for each thing that is not as in Docker
 * @throws Error with one readable sentence when a port is taken or a needed program cannot be had
 */
export async function planNativeRun(
  context: Context,
): Promise<{ plan: NativePlan; remarks: string[] }> {
  const { settings } = context;
  const wanted = components.filter((part) => part.wanted?.(settings) ?? true);
  await refuseBusyPorts(wanted, settings);
  const { parts, remarks } = await obtainParts(wanted, context);
  const chosen = await choosePorts(wanted, settings);
  const port: PortLookup = (name, inside) => chosen.get(`${name}:${inside}`);
  const processes: PlannedProcess[] = [];
  for (const { component, file, version, source } of parts) {
    const { name, title, readiness, ports, after, stops } = component;
    const configs = parts.flatMap((other) => other.component.configs?.[name] ?? []);
    const command = await prepare(component, context, port, file, configs);
    const readyPort = port(name, readiness?.port ?? ports[0]!.inside)!;
    const url = readiness && `http://127.0.0.1:${readyPort}${readiness.path}`;
    const ready = url ? { url } : { port: readyPort };
    processes.push({ name, title, version, source, ready, after, stops, command });
  }
  const ports = Object.fromEntries(chosen);
  return { plan: { folder: settings.STACK_FOLDER, ports, processes }, remarks };
}

/** What takes part, each with the program that it is run with. */
async function obtainParts(
  wanted: Component[],
  context: Context,
): Promise<{ parts: Part[]; remarks: string[] }> {
  const programs = wanted.map((component) => programOf(component, context.settings));
  await announce(context, programs);
  const binaries = await obtainPrograms(context, programs);
  const parts: Part[] = [];
  const remarks: string[] = [];
  for (const [i, component] of wanted.entries()) {
    const { missing, version } = component;
    const binary = binaries[i] ?? { file: '', version: version(context.settings), source: 'npm' };
    if (!(binary instanceof Error)) parts.push({ component, ...binary });
    else if (missing) {
      remarks.push(`${binary.message}. ${missing.means}`);
      const standIn = await missing.standIn?.();
      if (standIn) parts.push({ component: standIn, file: '', version: '', source: 'stand-in' });
    } else throw binary;
  }
  return { parts, remarks };
}

/** Before the first start: says what is about to be fetched; in a terminal there is time for Ctrl-C. */
async function announce(context: Context, programs: (Program | undefined)[]): Promise<void> {
  if (await new RunFolder(context.settings).newest()) return;
  const absent: string[] = [];
  for (const program of programs)
    if (program && !(await findProgram(context, program))) absent.push(program.title);
  if (absent.length === 0) return;
  context.print(
    `To be fetched first, and once: ${absent.join(', ')}. That is about ${absent.length * 100} MB to download; what cannot be downloaded is built where it can be, about four minutes each on two cores.`,
  );
  if (process.stdout.isTTY) await sleep(5_000, undefined, { signal: context.interrupted() });
}

/** Writes the config of a component, makes ready what else it needs, and answers how it is run. */
export async function prepare(
  component: Component,
  context: Context,
  port: PortLookup,
  program: string,
  configs: string[] = [],
): Promise<Command> {
  const { name, folders } = component;
  const folder = new RunFolder(context.settings);
  const [config, data] = [folder.config(name), folder.data(name)];
  if (folders) {
    await mkdir(data, { recursive: true });
    await writeNativeConfig(component, context.settings, port, config, data, configs);
  }
  const own = await component.prepare({
    context,
    port: (of, inside) => port(of, inside)!,
    config,
    data,
    program,
    moreConfigs: configs.map((file) => join(config, basename(file))),
  });
  const env = { ...baseEnvironment(context.env), ...own.env };
  return { file: program, cwd: folders ? data : '/', ...own, env };
}
