import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import { dashboards } from './dashboards.ts';

// npm run dashboards: writes each dashboard as the JSON that Grafana loads.

const FOLDER = join(import.meta.dirname, '../dashboards');

for (const dashboard of dashboards) {
  const text = await format(JSON.stringify(dashboard), { parser: 'json' });
  writeFileSync(join(FOLDER, `${dashboard.uid}.json`), text);
}
