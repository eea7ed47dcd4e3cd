import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { components } from '../../cli/components/index.ts';
import { createContext, readDotEnv } from '../../cli/context.ts';
import { ROOT } from '../../cli/paths.ts';
import { RunFolder, settingsInUse } from '../../cli/run.ts';
import { SETTINGS, readSettings } from '../../cli/settings.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { command } from './command.ts';

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

const names = Object.keys(SETTINGS.shape);
const defaults: Record<string, unknown> = readSettings({});

/** Fails when this text is not what a setting is without it. */
const assertDefault = (name: string, text: string): void => {
  assert.ok(names.includes(name), name);
  const read: Record<string, unknown> = readSettings({ [name]: text });
  assert.equal(read[name], defaults[name], name);
};

describe('readSettings', () => {
  it('says of each setting that cannot be used why, all at once', () => {
    assert.throws(
      () => readSettings({ BOOKS_PORT: 'abc', FAULTS_ENABLED: 'yes', LOAD_RATE: 'fast' }),
      {
        message: `BOOKS_PORT is "abc", but has to be a whole number from 1 to 65535.
FAULTS_ENABLED is "yes", but has to be true or false.
LOAD_RATE is "fast", but has to be a whole number from 1 to 9999.
Change it in your shell or in .env.`,
      },
    );
  });

  for (const [name, right, wrong] of [
    ['LOKI_PORT', ['1', '65535'], ['0', '65536', '-1', '3100.5', ' 3100', '0x10']],
    ['FAULTS_ENABLED', ['true', 'false'], ['True', '1']],
    ['LOAD_RATE', ['1', '9999'], ['0', '10000', '1.5', '-1']],
    ['LOAD_DURATION', ['500ms', '1m30s', '2h'], ['1', 'm', '1 m', '1d']],
  ] as const)
    it(`takes a ${name} that can be used, and no other`, () => {
      for (const value of right) assert.equal(String(readSettings({ [name]: value })[name]), value);
      for (const value of wrong)
        assert.throws(
          () => readSettings({ [name]: value }),
          { message: new RegExp(`^${name} is "${value}", but has to be `) },
          value,
        );
    });

  it('takes an empty variable for none', () => {
    const empty = Object.fromEntries(names.map((name) => [name, '']));
    const settings = readSettings({});
    assert.deepEqual(readSettings(empty), settings);
    assert.equal(settings.LOKI_PORT, 3100);
    assert.equal(settings.FAULTS_ENABLED, 'false');
    assert.ok(!settings.DATABASE_URL && !settings.LOKI_BINARY);
  });

  it('takes ~ for the home folder, as Compose does', () =>
    assert.equal(
      readSettings({ SLACK_WEBHOOK_URL_FILE: '~/slack-webhook-url' }).SLACK_WEBHOOK_URL_FILE,
      join(homedir(), 'slack-webhook-url'),
    ));

  it('takes a relative path from the repository, wherever it is called', () => {
    const folder = process.cwd();
    process.chdir('/');
    try {
      assert.equal(readSettings({}).STACK_FOLDER, join(ROOT, '.stack'));
      assert.equal(readSettings({ STACK_FOLDER: '../x' }).STACK_FOLDER, join(ROOT, '../x'));
      assert.equal(readSettings({ STACK_FOLDER: '/x' }).STACK_FOLDER, '/x');
    } finally {
      process.chdir(folder);
    }
  });
});

describe('the settings', () => {
  it('of the shell are those of a command', () =>
    assert.equal(createContext({ LOKI_PORT: '23100' }).settings.LOKI_PORT, 23100));

  it('end a command when they cannot be used, before it does anything', async () => {
    const { code, output } = await command({ BOOKS_PORT: 'abc' }, 'start');
    assert.equal(code, 1);
    assert.match(
      output,
      /^\nBOOKS_PORT is "abc", but .*\.\nChange it in your shell or in \.env\.\n$/,
    );
  });

  it('that a native run was started with hold for the other commands as long as it runs', async () => {
    const settings = readSettings({ STACK_FOLDER: temporaryFolder(), GRAFANA_PORT: '13000' });
    const forever = ['-e', 'setInterval(() => {}, 1000)', 'supervisor.ts'];
    const supervisor = spawn(process.execPath, forever);
    const record = { supervisor: supervisor.pid!, ports: { 'loki:3100': 23100 }, components: [] };
    const ports = async () => {
      const { LOKI_PORT, GRAFANA_PORT } = await settingsInUse(settings);
      return [LOKI_PORT, GRAFANA_PORT];
    };
    try {
      assert.deepEqual(await ports(), [3100, 13000]);
      new RunFolder(settings).write(record);
      assert.deepEqual(await ports(), [23100, 13000]);
      new RunFolder(settings).write({ ...record, ended: 'it was asked to stop' });
      assert.deepEqual(await ports(), [3100, 13000]);
    } finally {
      supervisor.kill();
    }
  });
});

describe('the defaults', () => {
  it('are those in .env.example, where every setting is, in this order', () => {
    const examples = [...read('.env.example').matchAll(/^#(\w+)=(.*)$/gm)];
    assert.deepEqual(
      examples.map(([, name]) => name),
      names,
    );
    for (const [, name, value] of examples) {
      assertDefault(name!, value!);
      assert.equal(value === '', defaults[name!] === undefined, name);
    }
  });

  it('are those of docker-compose.yaml, which takes nothing else from .env', () => {
    const text = read('docker-compose.yaml');
    // the innermost one, where a default has another in it
    const plain = [...text.matchAll(/\$\{(\w+):-([^${}]*)\}/g)];
    assert.ok(plain.length > 10);
    for (const [, name, value] of plain) assertDefault(name!, value!);
    for (const [all, name] of text.matchAll(/\$\{(\w+)/g)) assert.ok(names.includes(name!), all);

    const { services } = parse(text, { merge: true }) as { services: Record<string, any> };
    const handedOn = Object.values(services).flatMap(({ build, environment = {} }) =>
      Object.entries({ ...build?.args, ...environment })
        .filter(([, value]) => value === null)
        .map(([name]) => name),
    );
    assert.ok(handedOn.length > 10);
    for (const name of handedOn) assert.ok(names.includes(name), name);
  });

  it('of a version are the same in each Dockerfile that needs it', () => {
    for (const folder of [...components.map(({ name }) => name), 'load-generator']) {
      if (folder === 'postgres') continue; // it has no Dockerfile
      const versions = [...read(`${folder}/Dockerfile`).matchAll(/^ARG (\w+)=(\S+)$/gm)];
      assert.ok(versions.length > 0, folder);
      for (const [, name, value] of versions) assertDefault(name!, value!);
    }
  });

  it('of the load are those of the script of k6', () => {
    const own = [...read('load-generator/books.js').matchAll(/__ENV\.(LOAD_\w+) \|\| '(\w+)'/g)];
    assert.deepEqual(
      own.map(([, name]) => name),
      ['LOAD_RATE', 'LOAD_DURATION'],
    );
    for (const [, name, value] of own) assertDefault(name!, value!);
  });

  it("of Grafana's login are those of grafana.ini", () =>
    assert.match(
      read('grafana/grafana.ini'),
      new RegExp(`^admin_user = ${String(defaults.GF_SECURITY_ADMIN_USER)}$`, 'm'),
    ));
});

describe('readDotEnv', () => {
  it('reads what Compose reads', () =>
    assert.deepEqual(
      {
        ...readDotEnv(
          "\uFEFFA=1\r\n# a comment\r\n\r\nexport B=two words\nC='s3cr#t $ \" `'\nD= it's # why\nE=\nF=''\n",
        ),
      },
      { A: '1', B: 'two words', C: 's3cr#t $ " `', D: "it's", E: '', F: '' },
    ));

  for (const value of [
    's3cr#t',
    'pa$word',
    '"pa$word"',
    '"say \\"hi\\""',
    "'it\\'s'",
    '`a b`',
    'a\t#b',
    'a\\b',
    '"never closed',
  ])
    it(`refuses ${value}, which Compose reads differently`, () =>
      assert.throws(() => readDotEnv(`A=1\nPASSWORD=${value}\n`), {
        message:
          /^Docker and the npm commands would read different values from \.env: line 2 \(PASSWORD\)\. Put /,
      }));

  it('refuses a line that is no variable', () =>
    assert.throws(() => readDotEnv('PORT: 1'), { message: /line 1 \(PORT: 1\)/ }));
});
