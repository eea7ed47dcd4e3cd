import type { Component } from './component.ts';

export const mimir: Component = {
  name: 'mimir',
  title: 'Mimir',
  version: ({ MIMIR_VERSION }) => MIMIR_VERSION,
  ports: [{ inside: 9009, setting: 'MIMIR_PORT' }, { inside: 9096 }, { inside: 7946 }],
  readiness: { port: 9009, path: '/ready' },
  buildInfo: '/api/v1/status/buildinfo',
  program: {
    name: 'mimir',
    setting: 'MIMIR_BINARY',
    release: ({ name, version, os, arch }) => ({
      url: `https://github.com/grafana/mimir/releases/download/mimir-${version}/${name}-${os}-${arch}`,
      checksums: `${name}-${os}-${arch}-sha-256`,
      path: `${name}-${os}-${arch}`,
    }),
  },
  folders: { '/etc/mimir': 'config', '/data': 'data' },
  prepare: async ({ config, port }) => ({
    args: [
      `-config.file=${config}/mimir-config.yaml`,
      `-memberlist.bind-port=${port('mimir', 7946)}`,
    ],
  }),
};
