import assert from 'node:assert/strict';
import { poll } from '../../cli/checks.ts';
import { components } from '../../cli/components/index.ts';
import { docker } from '../support/engine.ts';

// What Docker and the kernel say about the containers of this test.

/** The Compose project of this test. */
export const PROJECT = 'lgtm-stack-test';
/** The stack's services: each runs in a container. */
export const NAMES = components.map(({ name }) => name);
/** The name of a service's container. */
export const container = (name: string): string => `${PROJECT}-${name}-1`;

/** What `docker inspect` says about each container, by the name of its service. */
export async function inspectAll(): Promise<Record<string, any>> {
  const answers = JSON.parse(await docker('inspect', ...NAMES.map(container))) as unknown[];
  return Object.fromEntries(NAMES.map((name, i) => [name, answers[i]]));
}

/** `read` of each container, by the name of its service. */
export async function ofEach<T>(
  read: (inspection: any, name: string) => T | Promise<T>,
): Promise<Record<string, T>> {
  const entries = Object.entries(await inspectAll());
  return Object.fromEntries(
    await Promise.all(entries.map(async ([name, one]) => [name, await read(one, name)] as const)),
  );
}

/** The same of every container, to compare with what `ofEach` answers. */
export const same = <T>(value: T): Record<string, T> =>
  Object.fromEntries(NAMES.map((name) => [name, value]));

/** Fails with what each container is when not all of them become so within a minute. */
export async function allBecome<T>(expected: T, read: (state: any) => T): Promise<void> {
  let found: Record<string, T> = {};
  await poll(async () => {
    found = await ofEach(({ State }) => read(State));
    return Object.values(found).every((each) => each === expected);
  }, 60_000);
  assert.deepEqual(found, same(expected));
}

const HELPER = `${PROJECT}-helper`;

/** Starts a container that sees the processes of the machine that the engine runs on. */
export async function startHelper(busybox: string): Promise<void> {
  await removeHelper();
  const options = [`--name=${HELPER}`, '--pid=host', '--network=none', '--init'];
  await docker('run', '--detach', '--rm', ...options, busybox, 'sleep', '3600');
}

/** Ends that container, if it is there. */
export const removeHelper = (): Promise<unknown> =>
  docker('rm', '--force', HELPER).catch(() => undefined);

/** Runs a command of busybox on that machine, as root. */
export const onHost = (...args: string[]): Promise<string> => docker('exec', HELPER, ...args);

/** The ids of a container's processes, on that machine. */
export async function processesOf(name: string): Promise<string[]> {
  const [, ...ids] = (await docker('top', container(name), '-eo', 'pid')).split('\n');
  return ids.map((id) => id.trim());
}
