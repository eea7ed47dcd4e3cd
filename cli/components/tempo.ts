import type { Component } from './component.ts';

export const tempo: Component = {
  name: 'tempo',
  title: 'Tempo',
  version: ({ TEMPO_VERSION }) => TEMPO_VERSION,
  ports: [
    { inside: 3200, setting: 'TEMPO_PORT' },
    { inside: 4317, native: 14317 }, // 4317 is the collector's on this machine
    { inside: 55681 },
    { inside: 9097 },
  ],
  readiness: { port: 3200, path: '/ready' },
  buildInfo: '/api/status/buildinfo',
  program: {
    name: 'tempo',
    setting: 'TEMPO_BINARY',
    release: ({ version, os, arch }) => ({
      url: `https://github.com/grafana/tempo/releases/download/v${version}/tempo_${version}_${os}_${arch}.tar.gz`,
      checksums: 'SHA256SUMS',
      path: 'tempo',
    }),
  },
  missing: {
    means: 'The Tempo stand-in takes its place: traces of this run, kept in memory.',
    standIn: async () => (await import('../../offline/tempo-stand-in.component.ts')).tempoStandIn,
  },
  folders: { '/etc/tempo': 'config', '/var/tempo': 'data' },
  prepare: async ({ config }) => ({ args: [`-config.file=${config}/tempo-config.yaml`] }),
};
