import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { component, programOf } from '../../cli/components/index.ts';
import { createContext } from '../../cli/context.ts';
import { writeNativeConfig } from '../../cli/native/config.ts';
import { obtainProgram } from '../../cli/native/programs.ts';
import { ROOT } from '../../cli/paths.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { notAvailable } from '../support/tools.ts';

const read = (file: string) => readFileSync(join(ROOT, 'otel-collector', file), 'utf8');
const shipped = parse(read('otel-collector-config.yaml'));

describe('own.yaml of the collector', () => {
  const context = createContext();
  const collector = component('otel-collector');

  const config = temporaryFolder();

  /** The config that a native run has with these additions, or why the collector refuses it. */
  async function merged(additions: string) {
    const program = programOf(collector, context.settings)!;
    const binary = await obtainProgram(context, program).catch(notAvailable);
    if (binary instanceof Error) return binary;
    const port = (_: string, inside: number) => inside;
    await writeNativeConfig(collector, context.settings, port, config, config);
    writeFileSync(join(config, 'own.yaml'), additions);
    const around = { context, port, config, data: config, program: binary.file, moreConfigs: [] };
    const { args } = await collector.prepare(around);
    const { status, stdout, stderr } = spawnSync(
      binary.file,
      ['print-config', ...args, '--mode=unredacted'],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    return parse(stdout);
  }
  const own = read('own.yaml');

  it('changes nothing as it is shipped', async (t) => {
    const [now, empty] = [await merged(own), await merged('')];
    if (now instanceof Error) return t.skip(now.message);
    assert.deepEqual(now, empty);
    assert.deepEqual(Object.keys(now.exporters), Object.keys(shipped.exporters).toSorted());
  });

  it('adds an exporter and a pipeline beside ours, as its example does', async (t) => {
    const [, example] = own.split('\n#\n');
    const now = await merged(example!.replace(/^# /gm, ''));
    if (now instanceof Error) return t.skip(now.message);
    assert.equal(now.exporters['otlp_http/own'].endpoint, 'https://otel.example.com');
    assert.deepEqual(now.service.pipelines['traces/own'].exporters, ['otlp_http/own']);
    assert.deepEqual(
      now.service.pipelines.traces.exporters,
      shipped.service.pipelines.traces.exporters,
    );
  });

  it('replaces a list, as its comment says', async (t) => {
    const now = await merged(
      'service: { pipelines: { logs: { exporters: [otlp_http/loki] } }, extensions: [] }',
    );
    if (now instanceof Error) return t.skip(now.message);
    assert.deepEqual(now.service.extensions, []);
    assert.deepEqual(
      now.service.pipelines.logs.receivers,
      shipped.service.pipelines.logs.receivers,
    );
  });

  it('is read in the container, too', () => {
    const [, files] = /^CMD \[([\s\S]*)\]/m.exec(read('Dockerfile'))!;
    assert.deepEqual(files!.match(/[\w-]+\.yaml/g), [
      'otel-collector-config.yaml',
      'limits-config.yaml',
      'own.yaml',
    ]);
  });
});
