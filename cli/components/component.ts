import type { Context } from '../context.ts';
import type { Command } from '../native/process.ts';
import type { Program } from '../native/programs.ts';
import type { PortSetting, Settings } from '../settings.ts';
import type { Stores } from '../stores.ts';

/** A TCP port that a component opens. */
export interface Port {
  /** Its number in the container, and in the configs. */
  inside: number;
  /** The setting that publishes it on 127.0.0.1. Without it, it is reached from inside only. */
  setting?: PortSetting;
  /** Its number in a native run where that differs from `inside`. Taken as long as it is free. */
  native?: number;
}

/** What a component is told in a native run. */
interface Surroundings {
  context: Context;
  /** The port of a component on 127.0.0.1, by its number inside the container. */
  port: (name: string, inside: number) => number;
  /** The folder with its rewritten config. */
  config: string;
  data: string;
  /** The path of its program; empty where it has none. */
  program: string;
  /** Config files that others have for it: see `configs`. */
  moreConfigs: string[];
}

/** One part of the stack: a folder of the repository, a service in docker-compose.yaml. */
export interface Component {
  name: string;
  title: string;
  version: (settings: Settings) => string;
  ports: Port[];
  /** Answers 2xx when the component is ready; without it, the first port listens then. */
  readiness?: { port: number; path: string };
  /** What a reader opens in a browser: this path of its first port. */
  page?: string;
  /** How it is asked whether it works, where its readiness is not published: why not, or undefined. */
  probe?: (stores: Stores) => Promise<string | undefined>;
  /** Where it tells its version: this path of its first port. */
  buildInfo?: string;
  /** Whether a native run has it; without it, always. */
  wanted?: (settings: Settings) => boolean;
  /** The component that has to be ready before this one starts in a native run. */
  after?: string;
  /** The stack stops in the order of the data: 1 ends first, what has none ends last. */
  stops?: number;

  /** What a native run runs, of the component's version; undefined where npm brings it. */
  program?: Omit<Program, 'title' | 'version'>;
  /** What holds where the program cannot be had. Without it, nothing is started then. */
  missing?: { means: string; standIn?: () => Promise<Component> };
  /** Folders inside the container → what they are in a native run. Without it, it has no config. */
  folders?: Record<string, 'config' | 'data'>;
  /** Files beside the config that a file of the user's own replaces. */
  secrets?: Record<string, 'SLACK_WEBHOOK_URL_FILE' | 'GRAFANA_ADMIN_PASSWORD_FILE'>;
  /** Config files that other components, by their names, read after their own. */
  configs?: Record<string, string[]>;
  /**
   * Makes ready what else it needs, and answers how it is run. Its config is written by then. Without
   * `file` that is its program, without `cwd` in its data folder; `env` is added to what all need.
   */
  prepare: (around: Surroundings) => Promise<Pick<Command, 'args'> & Partial<Command>>;
}
