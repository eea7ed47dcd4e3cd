import { readEnv } from './env';

// Imported before everything else: a variable that cannot be used ends the process with a sentence
// about it, before anything has used it.
try {
  readEnv();
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
