import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ALERTMANAGER } from '../stack/backends.ts';
import { obtainBinary } from '../stack/binaries.ts';
import { ROOT, component } from '../stack/components.ts';
import { writeNativeConfig } from '../stack/native-config.ts';
import { ManagedProcess, httpReady } from '../stack/processes.ts';
import type { RunRecord } from '../stack/run-folder.ts';
import { temporaryFolder } from './temporary-folder.ts';

// A native stack with data of its own, started and stopped by the commands that people use.

/** Where this test's stack keeps its data, logs and rewritten configs. */
export const folder = temporaryFolder();

/** The stack of this test, and never the user's own: no Docker answers at this address, and no database is named. */
const env = () => ({
  ...process.env,
  STACK_FOLDER: folder,
  DOCKER_HOST: `unix://${folder}/no-docker.sock`,
  DATABASE_URL: '',
});
const script = (name: string) => join(ROOT, 'stack', `${name}.ts`);

// After Ctrl-C, too; before the folder is removed.
process.prependOnceListener('exit', () => {
  if (existsSync(join(folder, 'run.json')) && !record().ended)
    spawnSync(process.execPath, [script('stop')], { env: env() });
});

export interface Outcome {
  code: number | null;
  output: string;
}

/** Runs a program in the repository's folder, as the commands of this stack, to its end. */
export async function run(file: string, ...args: string[]): Promise<Outcome> {
  const child = spawn(file, args, {
    cwd: ROOT,
    env: env(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

/** Runs `node stack/<name>.ts` as npm would, and answers what it printed. */
export const command = (name: string, ...args: string[]): Promise<Outcome> =>
  run(process.execPath, script(name), ...args);

/** What the newest run says about itself. */
export const record = (): RunRecord =>
  JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8'));

/** Starts the stack, and fails when it does not get ready. */
export async function start(): Promise<Outcome> {
  const outcome = await command('start', '--native');
  assert.equal(outcome.code, 0, outcome.output);
  return outcome;
}

/** Stops a component, with its own children, from doing anything; or lets it go on. */
export function signal(name: string, signal: 'STOP' | 'CONT'): void {
  const { pid } = record().components.find((part) => part.name === name)!;
  spawnSync('pkill', [`-${signal}`, '-P', String(pid)]);
  process.kill(pid, `SIG${signal}`);
}

/** Replaces a text in the config of the Alertmanager that runs, and reloads it; answers how to undo that. */
export async function configureAlertmanager(
  text: string,
  replacement: string,
): Promise<() => Promise<void>> {
  const file = join(folder, 'config/alertmanager/alertmanager.yml');
  const shipped = readFileSync(file, 'utf8');
  const changed = shipped.replace(text, replacement);
  assert.notEqual(changed, shipped);
  const reload = async (config: string) => {
    writeFileSync(file, config);
    const url = `${ALERTMANAGER}/-/reload`;
    assert.equal((await fetch(url, { method: 'POST' })).status, 200);
  };
  await reload(changed);
  return () => reload(shipped);
}

/** Starts one component with its config of this repository and nothing around it; its data stay for the next start. */
export async function startAlone(name: string): Promise<ManagedProcess> {
  const part = component(name);
  const { file } = await obtainBinary(part);
  const config = join(folder, 'config', name);
  const data = join(folder, 'data', name);
  await mkdir(data, { recursive: true });
  await writeNativeConfig(part, config, data);
  const started = new ManagedProcess(
    name,
    { file, args: part.args({ config, data, program: file }) },
    join(folder, `${name}.log`),
  );
  await started.waitUntilReady(
    httpReady(part.readyUrl!),
    20_000,
    new AbortController().signal,
  );
  return started;
}
