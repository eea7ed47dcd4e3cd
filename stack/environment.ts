import { existsSync } from 'node:fs';
import { join } from 'node:path';

// Loaded first by the npm scripts: the settings in .env, where there is one. Variables of the shell win.
// (Node's own --env-file-if-exists reports at every start that there is none.)
const file = join(import.meta.dirname, '../.env');
if (existsSync(file)) process.loadEnvFile(file);
