import { join } from 'node:path';
import { tempo } from '../cli/components/tempo.ts';
import type { Component } from '../cli/components/component.ts';

/** Takes Tempo's place in a native run where Tempo cannot be had: same API, traces in memory only. */
export const tempoStandIn: Component = {
  ...tempo,
  title: 'Tempo stand-in',
  ports: tempo.ports.filter(({ inside }) => [3200, 55681].includes(inside)),
  program: undefined,
  missing: undefined,
  folders: undefined,
  prepare: async ({ port }) => ({
    file: process.execPath,
    args: [
      join(import.meta.dirname, 'tempo-stand-in.ts'),
      `--port=${port('tempo', 3200)}`,
      `--otlp-port=${port('tempo', 55681)}`,
    ],
  }),
  configs: { 'otel-collector': [join(import.meta.dirname, 'tempo-stand-in-collector.yaml')] },
};
