import { component, programOf } from '../../cli/components/index.ts';
import { NotAvailableError, type Program } from '../../cli/native/programs.ts';
import type { Settings } from '../../cli/settings.ts';

/** The programs that check rules and routes, each of the version of the component that reads them. */
export function tools(settings: Settings) {
  /** A program in the release of a component. */
  const tool = (name: string, part: string): Program => ({
    ...programOf(component(part), settings)!,
    title: name,
    name,
    setting: undefined,
  });
  return {
    amtool: tool('amtool', 'alertmanager'),
    lokitool: tool('lokitool', 'loki'),
    mimirtool: tool('mimirtool', 'mimir'),
    // Mimir's own Prometheus; it has no release of this version
    promtool: { ...tool('promtool', 'mimir'), release: undefined },
  };
}

/** For `.catch`: makes this error an answer, and only this one. */
export function notAvailable(error: unknown): NotAvailableError {
  if (error instanceof NotAvailableError) return error;
  throw error;
}
