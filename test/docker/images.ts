import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { obtainBinary } from '../../stack/binaries.ts';
import { ROOT, component, imagesOf } from '../../stack/components.ts';
import { postgresPrograms } from '../../stack/postgres.ts';
import { docker, run } from './engine.ts';

// The images that our Dockerfiles start from. The official one is taken where it is there or can be
// pulled. Where no registry can be reached, a stand-in gets its name: made from the same real
// program, with the official image's user, paths and entrypoint, and as bare: no shell where the
// official image has none. A stand-in proves our Dockerfiles, permissions, wiring and health checks
// against the program; it does not prove what else is in the official image.

/** Files of a build context: path → text, or what to copy. */
type Files = Record<string, string | { from: string }>;
interface Recipe {
  dockerfile: string;
  files?: Files;
  /** True where the image holds something else than the program it is named after. */
  replaced?: boolean;
}

const LABEL = 'lgtm-stack.stand-in';
const DEBIAN = 'lgtm-stack-stand-in/debian:bookworm-slim';

/** What images without a distribution have: a list of users, and /tmp. */
const BARE = `FROM scratch
COPY etc /etc
COPY --chmod=1777 empty /tmp
`;
const BARE_FILES: Files = {
  'etc/passwd':
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:10001:10001::/home/nonroot:/sbin/nologin\n',
  'etc/group': 'root:x:0:\nnonroot:x:10001:\n',
  'empty/.keep': '',
};

/** The recipe of a stand-in, by the repository of the image. */
const recipes: Record<string, () => Recipe | Promise<Recipe>> = {
  busybox: () => ({
    dockerfile: `FROM scratch
COPY --chmod=755 busybox /bin/busybox
COPY --chmod=1777 empty /tmp
RUN ["/bin/busybox", "--install", "-s", "/bin"]
CMD ["sh"]`,
    files: { busybox: { from: '/bin/busybox' }, 'empty/.keep': '' },
  }),

  node: async () => {
    await debian();
    // A company's or a test machine's own certificate authority, for npm in `docker build`.
    const authority = process.env.NODE_EXTRA_CA_CERTS;
    return {
      dockerfile: `FROM ${DEBIAN}
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node
COPY --chmod=755 node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
${authority ? 'COPY authority.pem /usr/local/share/authority.pem\nENV NODE_EXTRA_CA_CERTS=/usr/local/share/authority.pem' : ''}
CMD ["node"]`,
      files: {
        node: { from: join(ROOT, 'node_modules/node/bin/node') },
        npm: { from: npmFolder() },
        ...(authority && { 'authority.pem': { from: authority } }),
      },
    };
  },

  postgres: async () => {
    await debian();
    return {
      dockerfile: `FROM ${DEBIAN}
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
        postgresql: {
          from: resolve((await postgresPrograms()).postgres, '../..'),
        },
        'docker-entrypoint.sh': {
          from: join(import.meta.dirname, 'postgres-entrypoint.sh'),
        },
        pg_isready: { from: join(import.meta.dirname, 'pg_isready.sh') },
      },
    };
  },

  'grafana/loki': async () => ({
    dockerfile: `${BARE}COPY --chmod=755 loki /usr/bin/loki
COPY --chown=10001:10001 empty /loki
COPY --chown=10001:10001 empty /etc/loki
USER 10001
EXPOSE 3100
ENTRYPOINT ["/usr/bin/loki"]
CMD ["-config.file=/etc/loki/local-config.yaml"]`,
    files: { ...BARE_FILES, loki: { from: await program('loki') } },
  }),

  // without a USER line, as the official one: ours has to step down itself
  'grafana/mimir': async () => ({
    dockerfile: `${BARE}COPY --chmod=755 mimir /bin/mimir
EXPOSE 8080
ENTRYPOINT ["/bin/mimir"]`,
    files: { ...BARE_FILES, mimir: { from: await program('mimir') } },
  }),

  'otel/opentelemetry-collector-contrib': async () => ({
    dockerfile: `FROM scratch
COPY --chmod=755 otelcol-contrib /otelcol-contrib
USER 10001:10001
EXPOSE 4317 4318
ENTRYPOINT ["/otelcol-contrib"]
CMD ["--config", "/etc/otelcol-contrib/config.yaml"]`,
    files: { 'otelcol-contrib': { from: await program('otel-collector') } },
  }),

  // with a shell and wget, as the official one; nobody is Debian's number
  'prom/alertmanager': async () => ({
    dockerfile: `FROM ${imagesOf('mimir')[0]}
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
      'etc/passwd':
        'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n',
      'etc/group': 'root:x:0:\nnobody:x:65534:\n',
      'empty/.keep': '',
      alertmanager: { from: await program('alertmanager') },
    },
  }),
  'grafana/k6': async () => {
    const [tools] = imagesOf('mimir'); // the official one is made from Alpine
    return {
      dockerfile: `FROM ${tools}
COPY etc /etc
COPY --chown=12345:12345 empty /home/k6
COPY --chmod=755 k6 /usr/bin/k6
USER 12345
WORKDIR /home/k6
ENTRYPOINT ["k6"]`,
      files: {
        'etc/passwd':
          'root:x:0:0:root:/root:/bin/sh\nk6:x:12345:12345::/home/k6:/bin/sh\n',
        'etc/group': 'root:x:0:\nk6:x:12345:\n',
        'empty/.keep': '',
        k6: { from: await program('load-generator') },
      },
    };
  },

  'grafana/tempo': async () => {
    if (process.env.TEMPO_BINARY)
      return {
        dockerfile: `${BARE}COPY --chmod=755 tempo /tempo
COPY --chown=10001:10001 --chmod=700 empty /var/tempo
USER 10001:10001
ENTRYPOINT ["/tempo"]`,
        files: { ...BARE_FILES, tempo: { from: await program('tempo') } },
      };
    const modules = ['@grafana/lezer-traceql', '@lezer/common', '@lezer/lr'];
    return {
      replaced: true,
      dockerfile: `FROM ${imagesOf('backend-example')[0]}
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
        'stand-in/tempo-stand-in.ts': {
          from: join(ROOT, 'stack/tempo-stand-in.ts'),
        },
        ...Object.fromEntries(
          modules.map((name) => [
            `stand-in/node_modules/${name}`,
            { from: join(ROOT, 'node_modules', name) },
          ]),
        ),
      },
    };
  },

  'grafana/grafana': async (): Promise<Recipe> => {
    const [tools] = imagesOf('mimir');
    if (process.env.GRAFANA_BINARY) {
      await debian();
      return {
        dockerfile: `FROM ${tools} AS tools
FROM ${DEBIAN}
COPY --from=tools /bin/busybox /usr/local/bin/wget
COPY grafana /usr/share/grafana
COPY --chmod=755 run.sh /run.sh
RUN useradd --system --uid 472 --gid 0 --home-dir /usr/share/grafana grafana && install -d -o 472 -g 0 -m 0777 /etc/grafana /var/lib/grafana /var/lib/grafana/plugins /var/log/grafana
USER 472
EXPOSE 3000
ENTRYPOINT ["/run.sh"]`,
        files: {
          grafana: { from: resolve(await program('grafana'), '../..') },
          'run.sh': `#!/bin/sh
exec /usr/share/grafana/bin/grafana server --homepath=/usr/share/grafana --config=/etc/grafana/grafana.ini --packaging=docker \\
  cfg:default.log.mode=console cfg:default.paths.data=/var/lib/grafana cfg:default.paths.logs=/var/log/grafana \\
  cfg:default.paths.plugins=/var/lib/grafana/plugins cfg:default.paths.provisioning=/etc/grafana/provisioning
`,
        },
      };
    }
    return {
      replaced: true,
      dockerfile: `FROM ${tools}
COPY www /www
COPY --chmod=755 run.sh /run.sh
COPY --chown=472:0 empty /var/lib/grafana
USER 472
EXPOSE 3000
ENTRYPOINT ["/run.sh"]`,
      files: {
        'www/api/health': 'not Grafana: a stand-in that answers this only\n',
        // what Grafana reads at its start, so that a secret it may not read is noticed
        'run.sh': `#!/bin/sh
cat /etc/grafana/grafana.ini /run/secrets/admin-password >/dev/null || exit 1
echo 'A stand-in for Grafana: it answers /api/health and nothing else.'
exec httpd -f -p 3000 -h /www
`,
        'empty/.keep': '',
      },
    };
  },
};

/** Every image that the stack is built from. */
export const baseImages = (postgres: string): string[] => {
  const folders =
    'backend-example otel-collector loki tempo mimir alertmanager grafana load-generator';
  return [...new Set([postgres, ...folders.split(' ').flatMap(imagesOf)])];
};

/** What each image is: the official one, a stand-in with the real program, or one without it. */
export type Origin = 'official' | 'same program' | 'something else';

/** Makes every image available and answers where each came from. */
export async function provideImages(
  images: string[],
): Promise<Map<string, Origin>> {
  const origins = new Map<string, Origin>();
  let registry = true;
  // the stand-ins for Tempo and Grafana are built from the others
  const order = Object.keys(recipes);
  const nameOf = (image: string) => image.slice(0, image.lastIndexOf(':'));
  for (const image of images.toSorted(
    (a, b) => order.indexOf(nameOf(a)) - order.indexOf(nameOf(b)),
  )) {
    const format = `{{index .Config.Labels "${LABEL}"}}`;
    const label = await run('docker', [
      'image',
      'inspect',
      image,
      '--format',
      format,
    ]);
    const present = label.code === 0 && label.output.trim() === '';
    // a stand-in of an earlier run is built again: its program may have changed
    if (!present && registry)
      registry = (await run('docker', ['pull', '--quiet', image])).code === 0;
    if (present || registry) origins.set(image, 'official');
    else {
      const recipe = recipes[nameOf(image)];
      if (!recipe) throw new Error(`there is no stand-in for ${image}`);
      origins.set(image, await build(image, await recipe()));
    }
  }
  return origins;
}

/** Takes the stand-ins away again, so that nobody uses one unawares under the official name. */
export async function removeStandIns(): Promise<void> {
  const ls = ['image', 'ls', '--filter', `label=${LABEL}`, '--format'];
  const list = await docker(...ls, '{{.Repository}}:{{.Tag}}');
  const images = list.split('\n').filter((name) => !name.includes('<none>'));
  if (list) await docker('image', 'rm', '--force', ...images);
}

async function build(image: string, recipe: Recipe): Promise<Origin> {
  const origin = recipe.replaced ? 'something else' : 'same program';
  const folder = mkdtempSync(join(tmpdir(), 'lgtm-stack-'));
  try {
    for (const [path, content] of Object.entries(recipe.files ?? {})) {
      const target = join(folder, path);
      mkdirSync(dirname(target), { recursive: true });
      if (typeof content === 'string') writeFileSync(target, content);
      else
        cpSync(content.from, target, {
          recursive: true,
          verbatimSymlinks: true,
        });
    }
    writeFileSync(join(folder, 'Dockerfile'), recipe.dockerfile);
    const label = `${LABEL}=${origin}`;
    await docker('build', '--quiet', '--tag', image, '--label', label, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return origin;
}

/** A minimal Debian 12, from the distribution's packages. */
async function debian(): Promise<void> {
  if ((await run('docker', ['image', 'inspect', DEBIAN])).code === 0) return;
  const folder = mkdtempSync(join(tmpdir(), 'lgtm-stack-'));
  try {
    const made = await run('debootstrap', [
      '--variant=minbase',
      'bookworm',
      folder,
    ]);
    if (made.code !== 0)
      throw new Error(`debootstrap: ${made.output.slice(-2_000)}`);
    rmSync(join(folder, 'var/cache/apt'), { recursive: true });
    chmodSync(folder, 0o755);
    const imported = spawnSync(
      'sh',
      ['-c', 'tar -C "$0" -c . | docker import - "$1"', folder, DEBIAN],
      { encoding: 'utf8' },
    );
    if (imported.status !== 0) throw new Error(imported.stderr);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function program(name: string): Promise<string> {
  return (await obtainBinary(component(name))).file;
}

/** The npm that runs these tests. */
function npmFolder(): string {
  const file =
    process.env.npm_execpath ??
    spawnSync('which', ['npm'], { encoding: 'utf8' }).stdout.trim();
  const folder = resolve(realpathSync(file), '../..');
  if (!existsSync(join(folder, 'bin/npm-cli.js')))
    throw new Error(`${folder} is not npm's folder`);
  return folder;
}
