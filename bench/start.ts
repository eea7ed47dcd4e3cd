import { NativeStack } from '../test/support/native-stack.ts';
import type { Bench } from './bench.ts';
import { spread, table } from './statistics.ts';

/** `npm start` and `npm stop` without Docker; everything is fetched and built, the data of the last run are there. */
export const start: Bench = {
  title: 'Start and stop',
  async run({ rounds, progress }) {
    const stack = await NativeStack.create();
    const found = { first: [] as number[], start: [] as number[], stop: [] as number[] };
    for (let round = 0; round <= rounds; round++) {
      progress(`${round} of ${rounds}`);
      found[round ? 'start' : 'first'].push(await seconds(() => stack.start()));
      found.stop.push(await seconds(() => stack.stop()));
    }
    return table(
      ['without Docker', 's'],
      [
        ['the first start, with a new database', spread(found.first, 1)],
        ['a start', spread(found.start, 1)],
        ['a stop', spread(found.stop, 1)],
      ],
    );
  },
};

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
