import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { ROOT } from './components.ts';

const run = promisify(execFile);

/** True when a Docker engine answers and Compose v2 is there. */
export async function dockerAnswers(): Promise<boolean> {
  try {
    await run('docker', ['version', '--format', '{{.Server.Version}}'], {
      timeout: 10_000,
    });
    await run('docker', ['compose', 'version'], { timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

/** Builds and starts every container and returns when all of them are healthy. */
export const composeUp = () => compose('up', '--build', '--wait');

/** Stops and removes the containers; the volumes, and so the data, stay. */
export const composeDown = () => compose('down');

/** Prints the containers, their state and their ports. */
export const composeStatus = () => compose('ps', '--all');

function compose(...args: string[]): Promise<void> {
  const child = spawn('docker', ['compose', ...args], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0
        ? resolve()
        : reject(
            new Error(
              `"docker compose ${args.join(' ')}" ended with code ${code}; its own message is above. "docker compose logs" shows what the containers said; "npm start -- --native" does without Docker.`,
            ),
          ),
    );
  });
}
