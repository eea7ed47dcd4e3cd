import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkPath, checkRules, lock } from '../../cli/native/preflight.ts';
import { ROOT } from '../../cli/paths.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

describe('checkRules', () => {
  it('finds no mistake in the rules as they are shipped', () => checkRules());

  for (const [what, store, text, message] of [
    [
      'an expression that ends too early',
      'mimir/rules/anonymous',
      'groups: [{ name: own, rules: [{ alert: Mine, expr: "sum(" }] }]',
      /^mimir\/rules\/anonymous\/own\.yaml: Mine: sum\( ⟵ not after this$/m,
    ],
    [
      'a selector of Loki without its end',
      'loki/rules/fake',
      'groups: [{ name: own, rules: [{ record: r, expr: "count_over_time({a=\\"b\\"[1m])" }] }]',
      /^loki\/rules\/fake\/own\.yaml: r: .* ⟵ not after this$/m,
    ],
    [
      'YAML that is none',
      'mimir/rules/anonymous',
      'groups: [',
      /^mimir\/rules\/anonymous\/own\.yaml: Flow sequence .* at line 1/m,
    ],
    [
      'a file without groups',
      'mimir/rules/anonymous',
      'rules: []',
      /^mimir\/rules\/anonymous\/own\.yaml: .*undefined/m,
    ],
  ] as const)
    it(`names ${what}, and its file`, () => {
      const root = temporaryFolder();
      mkdirSync(join(root, store), { recursive: true });
      cpSync(join(ROOT, store), join(root, store), { recursive: true });
      writeFileSync(join(root, store, 'own.yaml'), text);
      assert.throws(() => checkRules(root), { message });
      assert.throws(() => checkRules(root), { message: /^A rule file has a mistake, / });
    });
});

describe('checkPath', () => {
  for (const path of [
    '/srv/me/lgtm-stack/.stack',
    '/data/lgtm-stack',
    '/srv/Jürgen Ö/my stack (2)',
    '/srv/東京/a+b@c',
  ])
    it(`takes ${path}`, () => checkPath(path));

  for (const [path, bad] of [
    ['/srv/me/my #1 stack', '"#"'],
    ['/srv/me/a: b', '":"'],
    ['/srv/me/$HOME', '"$"'],
    ["/srv/me/it's", '"\'"'],
    ['/srv/me/a\nb', '"\\n"'],
    ['/srv/me/{a}', '"{"'],
    ['/srv/me/ends with a space /x', '" "'],
  ] as const)
    it(`refuses ${JSON.stringify(path)}`, () =>
      assert.throws(() => checkPath(path), {
        message: new RegExp(
          `^Nothing was started: the path [^]* has ${bad.replace(/[\\${}]/g, '\\$&')} in it`,
        ),
      }));
});

describe('lock', () => {
  it('lets in one at a time, and the next one afterwards', async () => {
    const folder = join(temporaryFolder(), 'new');
    const code = `import { lock } from ${JSON.stringify(join(ROOT, 'cli/native/preflight.ts'))};
      await lock(${JSON.stringify(folder)}); console.log('has it'); setInterval(() => {}, 1000);`;
    const file = join(temporaryFolder(), 'main.js'); // as an npm start is called
    writeFileSync(
      file,
      `await import('data:text/javascript,' + encodeURIComponent(${JSON.stringify(code)}))`,
    );
    writeFileSync(file, code);
    const other = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const text of other.stdout) if (String(text).includes('has it')) break;
    await assert.rejects(lock(folder), {
      message: `Another npm start is under way: process ${other.pid}. Wait for it.`,
    });
    other.kill('SIGKILL');
    await new Promise((ended) => other.once('exit', ended));
    const release = await lock(folder);
    assert.equal(readlinkSync(join(folder, 'start.lock')), String(process.pid));
    release();
    assert.throws(() => readlinkSync(join(folder, 'start.lock')), { code: 'ENOENT' });
  });
});
