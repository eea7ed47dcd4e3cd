import type { Component } from './component.ts';

export const loki: Component = {
  name: 'loki',
  title: 'Loki',
  version: ({ LOKI_VERSION }) => LOKI_VERSION,
  ports: [{ inside: 3100, setting: 'LOKI_PORT' }, { inside: 9095 }],
  readiness: { port: 3100, path: '/ready' },
  buildInfo: '/loki/api/v1/status/buildinfo',
  program: {
    name: 'loki',
    setting: 'LOKI_BINARY',
    release: ({ name, version, os, arch }) => ({
      url: `https://github.com/grafana/loki/releases/download/v${version}/${name}-${os}-${arch}.zip`,
      checksums: 'SHA256SUMS',
      path: `${name}-${os}-${arch}`,
    }),
  },
  folders: { '/etc/loki': 'config', '/loki': 'data' },
  prepare: async ({ config }) => ({ args: [`-config.file=${config}/loki-config.yaml`] }),
};
