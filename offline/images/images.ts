import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Context } from '../../cli/context.ts';
import { ROOT } from '../../cli/paths.ts';
import { docker } from '../../test/support/engine.ts';
import { run } from '../../test/support/run.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { recipes, type Around, type Recipe } from './recipes.ts';

// The images that our Dockerfiles start from. The official one is taken where it is there or can be
// pulled. Where no registry can be reached, a stand-in gets its name. A stand-in proves our Dockerfiles,
// permissions, wiring and health checks against the real program; it does not prove what else is in the
// official image.

const LABEL = 'lgtm-stack.stand-in';
const DEBIAN = 'lgtm-stack-stand-in/debian:bookworm-slim';

/** The folders with a Dockerfile. */
const FOLDERS =
  'backend-example otel-collector loki tempo mimir alertmanager grafana load-generator'.split(' ');

/** The images that `<folder>/Dockerfile` is built from, with each ${ARG} replaced: by `env`, or its default. */
export function imagesOf(folder: string, env: NodeJS.ProcessEnv): string[] {
  const dockerfile = readFileSync(join(ROOT, folder, 'Dockerfile'), 'utf8');
  const defaults = new Map(
    [...dockerfile.matchAll(/^ARG (\w+)=(\S+)/gm)].map(([, name, value]) => [name, value]),
  );
  return [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) =>
    image!.replace(/\$\{(\w+)\}/g, (all, name: string) => env[name] || defaults.get(name) || all),
  );
}

/** What each image is: the official one, a stand-in with the real program, or one without it. */
export type Origin = 'official' | 'same program' | 'something else';

/** Makes every image available that the stack is built from, and answers where each came from. */
export async function provideImages(context: Context): Promise<Map<string, Origin>> {
  const { env, settings } = context;
  const [busybox] = imagesOf('mimir', env) as [string];
  const [node] = imagesOf('backend-example', env) as [string];
  const around = { context, debian: DEBIAN, busybox, node };
  const images = new Set([
    `postgres:${settings.POSTGRES_VERSION}-bookworm`,
    ...FOLDERS.flatMap((folder) => imagesOf(folder, env)),
  ]);
  const order = Object.keys(recipes); // some are built from others
  const origins = new Map<string, Origin>();
  let registry = true;
  for (const image of [...images].toSorted(
    (a, b) => order.indexOf(nameOf(a)) - order.indexOf(nameOf(b)),
  )) {
    const official = await isOfficial(image);
    // a stand-in of an earlier run is built again: its program may have changed
    if (!official && registry)
      registry = (await run('docker', ['pull', '--quiet', image])).code === 0;
    origins.set(image, official || registry ? 'official' : await standIn(image, around));
  }
  return origins;
}

/** Takes the stand-ins away again, so that nobody uses one unawares under the official name. */
export async function removeStandIns(): Promise<void> {
  const ls = ['image', 'ls', '--filter', `label=${LABEL}`, '--format'];
  const list = await docker(...ls, '{{.Repository}}:{{.Tag}}');
  const images = list.split('\n').filter((name) => name && !name.includes('<none>'));
  if (images.length > 0) await docker('image', 'rm', '--force', ...images);
}

const nameOf = (image: string) => image.slice(0, image.lastIndexOf(':'));

/** True when an image of this name is here, and it is no stand-in. */
async function isOfficial(image: string): Promise<boolean> {
  const format = `--format={{index .Config.Labels "${LABEL}"}}`;
  const { code, output } = await run('docker', ['image', 'inspect', image, format]);
  return code === 0 && output.trim() === '';
}

async function standIn(image: string, around: Around): Promise<Origin> {
  const recipe = await recipes[nameOf(image)]?.(around);
  if (!recipe) throw new Error(`there is no stand-in for ${image}`);
  if (recipe.dockerfile.includes(DEBIAN)) await makeDebian();
  const origin = recipe.replaced ? 'something else' : 'same program';
  await build(image, recipe, origin);
  return origin;
}

async function build(image: string, recipe: Recipe, origin: Origin): Promise<void> {
  const folder = temporaryFolder();
  for (const [path, content] of Object.entries(recipe.files ?? {})) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    if (typeof content === 'string') writeFileSync(target, content);
    else cpSync(content.from, target, { recursive: true, verbatimSymlinks: true });
  }
  writeFileSync(join(folder, 'Dockerfile'), recipe.dockerfile);
  const label = `${LABEL}=${origin}`;
  await docker('build', '--quiet', '--tag', image, '--label', label, folder);
  rmSync(folder, { recursive: true });
}

/** A minimal Debian 12, from the distribution's packages. */
async function makeDebian(): Promise<void> {
  if ((await run('docker', ['image', 'inspect', DEBIAN])).code === 0) return;
  const folder = temporaryFolder();
  const made = await run('debootstrap', ['--variant=minbase', 'bookworm', folder]);
  if (made.code !== 0) throw new Error(`debootstrap: ${made.output.slice(-2_000)}`);
  rmSync(join(folder, 'var/cache/apt'), { recursive: true });
  chmodSync(folder, 0o755);
  const imported = spawnSync(
    'sh',
    ['-c', 'tar -C "$0" -c . | docker import - "$1"', folder, DEBIAN],
    { encoding: 'utf8' },
  );
  if (imported.status !== 0) throw new Error(imported.stderr);
  rmSync(folder, { recursive: true });
}
