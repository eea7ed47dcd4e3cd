import http from 'node:http';
import { dirname } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { Interrupted, createContext, type Context } from './context.ts';
import { proxies } from './native/process.ts';
import { settingsInUse } from './run.ts';
import { SETTINGS } from './settings.ts';

/**
 * A verb: gets its words and options as they were typed, and answers its exit code.
 * @throws Error with sentences for people
 */
export type Verb = (context: Context, ...given: any[]) => Promise<number>;

/** What people type. Each verb is a file of its own, and only the one that is asked for is loaded. */
function commandLine(): Command {
  const npm = new Command('npm run').exitOverride().showHelpAfterError().helpCommand(false);
  const verb = (name: string, description: string) =>
    npm
      .command(name)
      .description(description)
      .usage('-- [options]')
      .action(async (...given) => {
        const context = createContext();
        http.setGlobalProxyFromEnv?.(proxies(context.env)); // since Node 24.14
        context.settings = await settingsInUse(context.settings);
        const verbs = (await import(`./${name}.ts`)) as Record<string, Verb>;
        process.exitCode = await verbs[name]!(context, ...given);
      });
  verb('start', 'starts everything').option(
    '--native',
    'without Docker, also where Docker answers',
  );
  verb('stop', 'stops everything; the data is kept');
  verb('status', 'what runs, since when, with how much memory');
  verb('tour', 'follows one request through logs, trace and metrics');
  verb('doctor', 'checks each hop that data takes');
  verb('lesson', 'breaks something, and repairs it when its alert has come')
    .usage('-- <name>')
    .argument('[name]', 'without it, all lessons are listed');
  verb('load', 'sends traffic to the books API')
    .option('--rate <number>', 'requests per second, such as 20', readAs('LOAD_RATE'))
    .option('--duration <time>', 'how long, such as 1m30s', readAs('LOAD_DURATION'));
  verb('postman', 'sends the requests of the Postman collection, and compares the answers');
  return npm;
}

/** Reads an option by the rule of the setting that it stands for. */
function readAs(setting: 'LOAD_RATE' | 'LOAD_DURATION') {
  return (value: string) => {
    const { data, error } = SETTINGS.shape[setting].safeParse(value);
    if (data === undefined)
      throw new InvalidArgumentError(`It has to be ${error!.issues[0]!.message}.`);
    return data;
  };
}

/**
 * Runs the verb that is named first, and sets the exit code of this process: 2 where it was called in a
 * wrong way, 130 after Ctrl-C, 1 where something else went wrong.
 */
export async function main(args: string[]): Promise<void> {
  // `npm run status | head -3`: nobody misses the rest
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  try {
    await commandLine().parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode && 2; // it has said what is wrong, or was asked for --help
      return;
    }
    const stopped = [error, (error as Error).cause].find((e) => e instanceof Interrupted);
    console.error(`\n${stopped?.message ?? explain(error as NodeJS.ErrnoException)}`);
    process.exitCode = stopped ? 130 : 1;
  }
}

/** What to do about errors whose own message does not say it. */
export function explain({ code, path, message }: NodeJS.ErrnoException): string {
  if (code === 'EACCES' && path)
    return `${path} belongs to another user: was the stack started with sudo once? Make it yours: sudo chown -R "$(id -un)" '${dirname(path)}'`;
  if (code === 'ENOSPC')
    return `The disk is full: ${message}. Make room and run the command again.`;
  return message;
}
