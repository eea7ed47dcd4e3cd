import { parseArgs, type ParseArgsOptionDescriptor } from 'node:util';

/** The command was called in a wrong way; the message says how it is called. */
export class UsageError extends Error {}

/** An option, and what it is for: people see that when they name another one. */
type Options = Record<string, ParseArgsOptionDescriptor & { purpose: string }>;

/**
 * Reads the options of a verb.
 * @param verb as in "npm run load"
 * @throws UsageError
 */
export function parseOptions<const O extends Options>(
  verb: string,
  args: string[],
  options = {} as O,
  allowPositionals = false,
) {
  try {
    return parseArgs({ args, options, allowPositionals });
  } catch (error) {
    const wrong = (error as Error).message.split('. ')[0];
    const right = Object.entries(options).map(
      ([name, { purpose }]) => `\n  --${name.padEnd(10)} ${purpose}`,
    );
    throw new UsageError(
      `${wrong}. ${right.length > 0 ? `"${verb} -- …" takes:${right.join('')}` : `"${verb}" takes no options.`}`,
    );
  }
}
