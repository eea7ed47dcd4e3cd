import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { component, programOf } from '../../cli/components/index.ts';
import { k6 } from '../../cli/components/load-generator.ts';
import type { Context } from '../../cli/context.ts';
import { postgresPrograms } from '../../cli/native/postgres.ts';
import { obtainProgram, obtainPrograms, type Program } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';

// How each stand-in is made: from the same real program, with the official image's user, paths and
// entrypoint, and as bare: no shell where the official image has none.

/** Files of a build context: path → text, or what to copy. */
type Files = Record<string, string | { from: string }>;

/** How an image is built. */
export interface Recipe {
  dockerfile: string;
  files?: Files;
  /** True where the image holds something else than the program it is named after. */
  replaced?: boolean;
}

/** What the recipes are made for, and the images that some of them begin with. */
export interface Around {
  context: Context;
  debian: string;
  busybox: string;
  node: string;
}

/** What images without a distribution have: a list of users, and /tmp. */
const BARE = `FROM scratch
COPY etc /etc
COPY --chmod=1777 empty /tmp
`;
const BARE_FILES: Files = {
  ...users('nonroot:x:10001:10001::/home/nonroot:/sbin/nologin', 'nonroot:x:10001:'),
  'empty/.keep': '',
};

/** The recipe of a stand-in, by the repository of the image; in the order in which they are built. */
export const recipes: Record<string, (around: Around) => Recipe | Promise<Recipe>> = {
  busybox: () => ({
    dockerfile: `FROM scratch
COPY --chmod=755 busybox /bin/busybox
COPY --chmod=1777 empty /tmp
RUN ["/bin/busybox", "--install", "-s", "/bin"]
CMD ["sh"]`,
    files: { busybox: { from: '/bin/busybox' }, 'empty/.keep': '' },
  }),

  node({ debian }) {
    // A company's or a test machine's own certificate authority, for npm in `docker build`.
    const authority = process.env.NODE_EXTRA_CA_CERTS;
    return {
      dockerfile: `FROM ${debian}
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node
COPY --chmod=755 node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
${authority ? 'COPY authority.pem /usr/local/share/authority.pem\nENV NODE_EXTRA_CA_CERTS=/usr/local/share/authority.pem' : ''}
CMD ["node"]`,
      files: {
        node: { from: realpathSync(join(ROOT, 'node_modules/.bin/node')) },
        npm: { from: npmFolder() },
        ...(authority && { 'authority.pem': { from: authority } }),
      },
    };
  },

  postgres: async ({ debian }) => ({
    dockerfile: `FROM ${debian}
RUN groupadd --system --gid 999 postgres && useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres \\
 && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql && install -d -o postgres -g postgres -m 3777 /var/run/postgresql
COPY postgresql /usr/lib/postgresql/18
COPY --chmod=755 docker-entrypoint.sh pg_isready /usr/local/bin/
ENV PATH=$PATH:/usr/lib/postgresql/18/bin PGDATA=/var/lib/postgresql/18/docker LANG=C.UTF-8
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]`,
    files: {
      postgresql: { from: resolve((await postgresPrograms()).postgres, '../..') },
      'docker-entrypoint.sh': { from: join(import.meta.dirname, 'postgres-entrypoint.sh') },
      pg_isready: { from: join(import.meta.dirname, 'pg_isready.sh') },
    },
  }),

  'grafana/loki': async ({ context }) => ({
    dockerfile: `${BARE}COPY --chmod=755 loki /usr/bin/loki
COPY --chown=10001:10001 empty /loki
COPY --chown=10001:10001 empty /etc/loki
USER 10001
EXPOSE 3100
ENTRYPOINT ["/usr/bin/loki"]
CMD ["-config.file=/etc/loki/local-config.yaml"]`,
    files: { ...BARE_FILES, loki: { from: await program(context, 'loki') } },
  }),

  // without a USER line, as the official one: ours has to step down itself
  'grafana/mimir': async ({ context }) => ({
    dockerfile: `${BARE}COPY --chmod=755 mimir /bin/mimir
EXPOSE 8080
ENTRYPOINT ["/bin/mimir"]`,
    files: { ...BARE_FILES, mimir: { from: await program(context, 'mimir') } },
  }),

  'otel/opentelemetry-collector-contrib': async ({ context }) => ({
    dockerfile: `FROM scratch
COPY --chmod=755 otelcol-contrib /otelcol-contrib
USER 10001:10001
EXPOSE 4317 4318
ENTRYPOINT ["/otelcol-contrib"]
CMD ["--config", "/etc/otelcol-contrib/config.yaml"]`,
    files: { 'otelcol-contrib': { from: await program(context, 'otel-collector') } },
  }),

  // with a shell and wget, as the official one; nobody is Debian's number
  'prom/alertmanager': async ({ context, busybox }) => ({
    dockerfile: `FROM ${busybox}
COPY etc /etc
COPY --chmod=755 alertmanager /bin/alertmanager
COPY --chown=65534:65534 empty /etc/alertmanager
COPY --chown=65534:65534 empty /alertmanager
USER nobody
EXPOSE 9093
VOLUME /alertmanager
WORKDIR /alertmanager
ENTRYPOINT ["/bin/alertmanager"]
CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]`,
    files: {
      ...users('nobody:x:65534:65534:nobody:/home:/bin/false', 'nobody:x:65534:'),
      'empty/.keep': '',
      alertmanager: { from: await program(context, 'alertmanager') },
    },
  }),

  // the official one is made from Alpine
  'grafana/k6': async ({ context, busybox }) => ({
    dockerfile: `FROM ${busybox}
COPY etc /etc
COPY --chown=12345:12345 empty /home/k6
COPY --chmod=755 k6 /usr/bin/k6
USER 12345
WORKDIR /home/k6
ENTRYPOINT ["k6"]`,
    files: {
      ...users('k6:x:12345:12345::/home/k6:/bin/sh', 'k6:x:12345:'),
      'empty/.keep': '',
      k6: { from: await pathOf(context, k6(context.settings)) },
    },
  }),

  async 'grafana/tempo'({ context, node }) {
    const tempo = await ifAvailable(context, 'tempo');
    return tempo
      ? {
          dockerfile: `${BARE}COPY --chmod=755 tempo /tempo
COPY --chown=10001:10001 --chmod=700 empty /var/tempo
USER 10001:10001
ENTRYPOINT ["/tempo"]`,
          files: { ...BARE_FILES, tempo: { from: tempo } },
        }
      : tempoStandIn(node);
  },

  async 'grafana/grafana'({ context, debian, busybox }) {
    const grafana = await ifAvailable(context, 'grafana');
    return grafana
      ? {
          dockerfile: `FROM ${busybox} AS tools
FROM ${debian}
COPY --from=tools /bin/busybox /usr/local/bin/wget
COPY grafana /usr/share/grafana
COPY --chmod=755 run.sh /run.sh
RUN useradd --system --uid 472 --gid 0 --home-dir /usr/share/grafana grafana && install -d -o 472 -g 0 -m 0777 /etc/grafana /var/lib/grafana /var/lib/grafana/plugins /var/log/grafana
USER 472
EXPOSE 3000
ENTRYPOINT ["/run.sh"]`,
          files: {
            grafana: { from: resolve(grafana, '../..') },
            'run.sh': `#!/bin/sh
exec /usr/share/grafana/bin/grafana server --homepath=/usr/share/grafana --config=/etc/grafana/grafana.ini --packaging=docker \\
  cfg:default.log.mode=console cfg:default.paths.data=/var/lib/grafana cfg:default.paths.logs=/var/log/grafana \\
  cfg:default.paths.plugins=/var/lib/grafana/plugins cfg:default.paths.provisioning=/etc/grafana/provisioning
`,
          },
        }
      : grafanaStandIn(busybox);
  },
};

/** offline/tempo-stand-in.ts as the image's program. */
function tempoStandIn(node: string): Recipe {
  const modules = ['@grafana/lezer-traceql', '@lezer/common', '@lezer/lr'];
  return {
    replaced: true,
    dockerfile: `FROM ${node}
COPY stand-in /stand-in
COPY --chmod=755 tempo /tempo
RUN install -d -o 10001 -g 10001 -m 0700 /var/tempo
USER 10001:10001
ENTRYPOINT ["/tempo"]`,
    files: {
      tempo: `#!/bin/sh
# Not Tempo: the stand-in in its place.
if [ "$1" = -health ]; then exec node -e "fetch('http://127.0.0.1:3200/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"; fi
exec node /stand-in/tempo-stand-in.ts --host 0.0.0.0
`,
      'stand-in/package.json': '{ "type": "module" }',
      'stand-in/tempo-stand-in.ts': { from: join(ROOT, 'offline/tempo-stand-in.ts') },
      ...Object.fromEntries(
        modules.map((name) => [
          `stand-in/node_modules/${name}`,
          { from: join(ROOT, 'node_modules', name) },
        ]),
      ),
    },
  };
}

/** Answers /api/health, and reads what Grafana reads at its start: a secret that it may not read is noticed. */
const grafanaStandIn = (busybox: string): Recipe => ({
  replaced: true,
  dockerfile: `FROM ${busybox}
COPY www /www
COPY --chmod=755 run.sh /run.sh
COPY --chown=472:0 empty /var/lib/grafana
USER 472
EXPOSE 3000
# httpd as process 1 does not end by another
STOPSIGNAL SIGKILL
ENTRYPOINT ["/run.sh"]`,
  files: {
    'www/api/health': 'not Grafana: a stand-in that answers this only\n',
    'run.sh': `#!/bin/sh
cat /etc/grafana/grafana.ini /run/secrets/admin-password >/dev/null || exit 1
echo 'A stand-in for Grafana: it answers /api/health and nothing else.'
exec httpd -f -p 3000 -h /www
`,
    'empty/.keep': '',
  },
});

/** The list of users of an image without a distribution: root and one more. */
function users(user: string, group: string): Files {
  return {
    'etc/passwd': `root:x:0:0:root:/root:/bin/sh\n${user}\n`,
    'etc/group': `root:x:0:\n${group}\n`,
  };
}

const programOfComponent = ({ settings }: Context, name: string): Program =>
  programOf(component(name), settings)!;

/** The path of a component's program. */
const program = (context: Context, name: string): Promise<string> =>
  pathOf(context, programOfComponent(context, name));

/** The same, undefined where it cannot be had. */
async function ifAvailable(context: Context, name: string): Promise<string | undefined> {
  const [found] = await obtainPrograms(context, [programOfComponent(context, name)]);
  return found instanceof Error ? undefined : found?.file;
}

const pathOf = async (context: Context, wanted: Program): Promise<string> =>
  (await obtainProgram(context, wanted)).file;

/** The npm that runs this. */
function npmFolder(): string {
  const file =
    process.env.npm_execpath ?? spawnSync('which', ['npm'], { encoding: 'utf8' }).stdout.trim();
  const folder = resolve(realpathSync(file), '../..');
  if (!existsSync(join(folder, 'bin/npm-cli.js'))) throw new Error(`${folder} is not npm's folder`);
  return folder;
}
