import { resolve } from 'node:path';
import type { Component } from './component.ts';

export const grafana: Component = {
  name: 'grafana',
  title: 'Grafana',
  version: ({ GRAFANA_VERSION }) => GRAFANA_VERSION,
  ports: [{ inside: 3000, setting: 'GRAFANA_PORT' }],
  readiness: { port: 3000, path: '/api/health' },
  page: '',
  buildInfo: '/api/health',
  program: {
    name: 'grafana',
    setting: 'GRAFANA_BINARY',
    release: ({ version, os, arch }) => ({
      url: `https://dl.grafana.com/oss/release/grafana-${version}.${os}-${arch}.tar.gz`,
      checksums: `grafana-${version}.${os}-${arch}.tar.gz.sha256`,
      path: `grafana-${version}/bin/grafana`,
    }),
  },
  missing: {
    means: 'The stack runs without it; `npm run tour` shows the same data in the terminal.',
  },
  folders: {
    '/etc/grafana': 'config',
    '/var/lib/grafana': 'data',
    '/run/secrets': 'config', // grafana/admin-password lies beside the config
  },
  secrets: { 'admin-password': 'GRAFANA_ADMIN_PASSWORD_FILE' },
  prepare: async ({ context, config, data, program }) => ({
    args: [
      'server',
      `--homepath=${resolve(program, '../..')}`,
      `--config=${config}/grafana.ini`,
      'cfg:server.http_addr=127.0.0.1',
      `cfg:paths.data=${data}`,
      `cfg:paths.logs=${data}/log`,
      `cfg:paths.plugins=${data}/plugins`,
      `cfg:paths.provisioning=${config}/provisioning`,
    ],
    env: {
      GF_SECURITY_ADMIN_USER: context.settings.GF_SECURITY_ADMIN_USER,
      GF_SECURITY_ADMIN_PASSWORD: context.settings.GF_SECURITY_ADMIN_PASSWORD,
    },
  }),
};
