import { proxies } from '../native/process.ts';
import type { Component } from './component.ts';

export const alertmanager: Component = {
  name: 'alertmanager',
  title: 'Alertmanager',
  version: ({ ALERTMANAGER_VERSION }) => ALERTMANAGER_VERSION.replace(/^v/, ''), // an image's tag
  ports: [{ inside: 9093, setting: 'ALERTMANAGER_PORT' }],
  readiness: { port: 9093, path: '/-/ready' },
  page: '',
  buildInfo: '/api/v2/status',
  program: {
    name: 'alertmanager',
    setting: 'ALERTMANAGER_BINARY',
    release: ({ name, version, os, arch }) => ({
      url: `https://github.com/prometheus/alertmanager/releases/download/v${version}/alertmanager-${version}.${os}-${arch}.tar.gz`,
      checksums: 'sha256sums.txt',
      path: `alertmanager-${version}.${os}-${arch}/${name}`,
    }),
  },
  folders: {
    '/etc/alertmanager': 'config',
    '/alertmanager': 'data',
    '/run/secrets': 'config', // alertmanager/slack-webhook-url lies beside the config
  },
  secrets: { 'slack-webhook-url': 'SLACK_WEBHOOK_URL_FILE' },
  prepare: async ({ context, config, data, port }) => ({
    env: proxies(context.env), // Slack may be behind one
    args: [
      `--config.file=${config}/alertmanager.yml`,
      `--storage.path=${data}`,
      `--web.listen-address=127.0.0.1:${port('alertmanager', 9093)}`,
      `--web.external-url=http://localhost:${port('alertmanager', 9093)}`,
      '--cluster.listen-address=',
    ],
  }),
};
