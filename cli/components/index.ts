import type { Program } from '../native/programs.ts';
import type { Settings } from '../settings.ts';
import { alertmanager } from './alertmanager.ts';
import { backend } from './backend-example.ts';
import type { Component } from './component.ts';
import { grafana } from './grafana.ts';
import { loki } from './loki.ts';
import { mimir } from './mimir.ts';
import { collector } from './otel-collector.ts';
import { postgres } from './postgres.ts';
import { tempo } from './tempo.ts';

/** The stack, in the order in which it is listed to people. */
export const components = [backend, collector, loki, tempo, mimir, alertmanager, grafana, postgres];

/** The component of this name; undefined for a service of the user's own in docker-compose.override.yaml. */
export const find = (name: string): Component | undefined =>
  components.find((c) => c.name === name);

/** The component of this name. */
export function component(name: string): Component {
  const found = find(name);
  if (!found) throw new Error(`there is no component ${name}`);
  return found;
}

/** What a native run runs for a component; undefined where npm brings it. */
export const programOf = (
  { title, version, program }: Component,
  settings: Settings,
): Program | undefined => program && { ...program, title, version: version(settings) };

/** Where a published port of a component answers on this machine, the first unless another is named. */
export function origin(
  { ports }: Component,
  settings: Settings,
  inside = ports[0]!.inside,
): string | undefined {
  const setting = ports.find((port) => port.inside === inside)?.setting;
  return setting && `http://127.0.0.1:${settings[setting]}`;
}

/** What a reader opens in a browser; undefined where there is nothing to see. */
export const address = ({ ports, page }: Component, settings: Settings): string | undefined =>
  page === undefined ? undefined : `http://localhost:${settings[ports[0]!.setting!]}${page}`;
