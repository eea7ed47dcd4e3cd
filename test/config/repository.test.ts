import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import typescript from 'typescript';
import { parse } from 'yaml';
import { components } from '../../cli/components/index.ts';
import { ROOT } from '../../cli/paths.ts';
import { readSettings } from '../../cli/settings.ts';

// What a hosting site does with this repository: workflows, issue forms, the dev container.

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

describe('workflows', () => {
  const files = globSync('.github/workflows/*', { cwd: ROOT });
  const workflows = Object.fromEntries(files.map((file) => [file, parse(read(file)) as any]));
  const jobs = Object.values(workflows).flatMap(({ jobs }) => Object.values<any>(jobs));
  const commands = jobs.flatMap(({ steps }) =>
    steps.flatMap(({ run }: { run?: string }) => run?.trim().split('\n') ?? []),
  ) as string[];

  it('may read this repository, and nothing else', () => {
    assert.equal(files.length, 2);
    for (const [file, { permissions, jobs }] of Object.entries(workflows)) {
      assert.deepEqual(permissions, { contents: 'read' }, file);
      for (const job of Object.values<any>(jobs)) assert.ok(!job.permissions, file);
      assert.doesNotMatch(read(file), /secrets\.|pull_request_target/);
    }
  });

  it('end each job in time, and only the newest run of a branch goes on', () => {
    for (const job of jobs) assert.ok(job['timeout-minutes'] <= 90, job.name);
    for (const { concurrency } of Object.values(workflows)) assert.ok(concurrency.group);
  });

  it('use actions by their commit, the same everywhere, with the version behind it', () => {
    const lines = files.flatMap((file) => read(file).match(/^.*\buses: .*$/gm) ?? []);
    assert.ok(lines.length > 3);
    const commits = new Map<string, string>();
    for (const line of lines) {
      const [, action, commit] =
        /uses: ([\w./-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$/.exec(line) ?? [];
      assert.ok(action && commit, line);
      assert.equal(commits.get(action) ?? commit, commit, action);
      commits.set(action, commit);
    }
  });

  it('run commands that exist, and checks that have these names', () => {
    const titles = read('test/run.ts');
    for (const command of commands.filter((one) => one.startsWith('npm '))) {
      const [, verb, script, words] = /^npm (ci|run (\S+)|test)(?: -- (.*)| --if-present)?$/.exec(
        command,
      )!;
      assert.ok(
        verb === 'ci' || (script ?? verb!) in scripts || command.endsWith('--if-present'),
        command,
      );
      for (const word of words?.split(' ') ?? [])
        assert.match(titles, new RegExp(`(nodeTests|jest|command)\\('[^']*\\b${word}\\b`), word);
    }
  });

  it('try on a pull request what the reader does first', () => {
    for (const command of ['docker compose up --build --wait', 'npm run tour', 'npm run doctor'])
      assert.ok(commands.includes(command), command);
  });
});

describe('issue forms', () => {
  const forms = globSync('.github/ISSUE_TEMPLATE/*.yml', { cwd: ROOT }).sort();

  it('have a name, a description and questions with names of their own', () => {
    assert.ok(forms.length > 0);
    for (const form of forms) {
      const { name, description, body } = parse(read(form)) as any;
      assert.ok(name && description, form);
      const ids = body.map(({ id }: { id: string }) => id);
      assert.equal(new Set(ids).size, ids.length, form);
      for (const { id, attributes } of body) assert.ok(id && attributes.label, form);
    }
  });

  it('ask for the output of the doctor', () => assert.match(read(forms[0]!), /`npm run doctor`/));
});

describe('the dev container', () => {
  const file = '.devcontainer/devcontainer.json';
  const shipped = readSettings({});
  const { config, error } = typescript.parseConfigFileTextToJson(file, read(file));

  it('starts the stack as the README does', () => {
    assert.equal(error, undefined);
    assert.equal(config.postStartCommand, 'docker compose up --build --wait');
    assert.equal(config.postCreateCommand, 'npm ci');
  });

  it('forwards every port that is published, with a label', () => {
    const published = components.flatMap(({ ports }) =>
      ports.flatMap(({ setting }) => (setting ? [shipped[setting]] : [])),
    );
    assert.deepEqual(config.forwardPorts, published);
    assert.deepEqual(
      Object.keys(config.portsAttributes)
        .map(Number)
        .sort((a, b) => a - b),
      published.toSorted((a, b) => a - b),
    );
    for (const { label } of Object.values<any>(config.portsAttributes)) assert.ok(label);
  });
});
