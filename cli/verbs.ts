import http from 'node:http';
import { dirname } from 'node:path';
import { Interrupted, createContext, type Context } from './context.ts';
import { proxies } from './native/process.ts';
import { UsageError } from './options.ts';
import { settingsInUse } from './run.ts';

/** A verb: answers its exit code. @throws Error with sentences for people */
export type Verb = (context: Context, args: string[]) => Promise<number>;

/** Each is a file of its own, and only the one that is asked for is loaded. */
const VERBS = ['start', 'stop', 'status', 'tour', 'doctor', 'lesson', 'load'];

/**
 * Runs the verb that is named first, and sets the exit code of this process: 2 where it was called in a
 * wrong way, 130 after Ctrl-C, 1 where something else went wrong.
 */
export async function main([name = '', ...args]: string[]): Promise<void> {
  // `npm run status | head -3`: nobody misses the rest
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  try {
    if (!VERBS.includes(name))
      throw new UsageError(`There is no verb "${name}"; there are ${VERBS.join(', ')}.`);
    const context = createContext();
    http.setGlobalProxyFromEnv?.(proxies(context.env)); // since Node 24.14
    context.settings = await settingsInUse(context.settings);
    const verbs = (await import(`./${name}.ts`)) as Record<string, Verb>;
    process.exitCode = await verbs[name]!(context, args);
  } catch (error) {
    const stopped = [error, (error as Error).cause].find((e) => e instanceof Interrupted);
    console.error(`\n${stopped?.message ?? explain(error as NodeJS.ErrnoException)}`);
    process.exitCode = stopped ? 130 : error instanceof UsageError ? 2 : 1;
  }
}

/** What to do about errors whose own message does not say it. */
export function explain({ code, path, message }: NodeJS.ErrnoException): string {
  if (code === 'ERR_MODULE_NOT_FOUND')
    return `Something is not installed here: run "npm ci" first. (${message})`;
  if (code === 'EACCES' && path)
    return `${path} belongs to another user: was the stack started with sudo once? Make it yours: sudo chown -R "$(id -un)" '${dirname(path)}'`;
  if (code === 'ENOSPC')
    return `The disk is full: ${message}. Make room and run the command again.`;
  return message;
}
