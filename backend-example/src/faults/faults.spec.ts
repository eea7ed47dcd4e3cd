import { Logger } from '@nestjs/common';
import { parseFaultHeader } from './fault-header';
import { FaultsService } from './faults.service';
import { slowSelect } from './slow-sql';

beforeAll(() => Logger.overrideLogger(false));

describe('the header X-Fault', () => {
  it.each([
    [undefined, {}],
    ['', {}],
    ['latencyMs=300', { latencyMs: 300 }],
    [' errorRatio = 0.5 , slowSqlMs=800,', { errorRatio: 0.5, slowSqlMs: 800 }],
  ])('%s is %j', async (header, faults) => {
    expect(await parseFaultHeader(header)).toEqual(faults);
  });

  it.each([
    ['latency=1', 'property latency should not exist'],
    ['seconds=5', 'property seconds should not exist'],
    ['latencyMs', 'latencyMs must be a number from 0 to 10000'],
    ['latencyMs=-1', 'latencyMs must be a number from 0 to 10000'],
    ['errorRatio=1.1', 'errorRatio must be a number from 0 to 1'],
    ['slowSqlMs=4001', 'slowSqlMs must be a number from 0 to 4000'],
    ['blockMs=1001', 'blockMs must be a number from 0 to 1000'],
    ['memoryMb=17', 'memoryMb must be a number from 0 to 16'],
  ])('%s is refused', async (header, message) => {
    await expect(parseFaultHeader(header)).rejects.toThrow(message);
  });
});

describe('faults for all requests', () => {
  beforeEach(() => jest.useFakeTimers({ now: 0 }));
  afterEach(() => jest.useRealTimers());

  it('end by themselves', () => {
    const sut = new FaultsService();
    expect(sut.get()).toEqual({});
    sut.set({ latencyMs: 5 }, 10);
    jest.setSystemTime(9_999);
    expect(sut.get()).toEqual({ latencyMs: 5 });
    jest.setSystemTime(10_000);
    expect(sut.get()).toEqual({});
  });

  it('take memory up to 128 MB and give it back', () => {
    const sut = new FaultsService();
    const bytes = () =>
      sut['ballast'].reduce((sum, { length }) => sum + length, 0);
    sut.set({ memoryMb: 16 }, 600);
    for (let i = 0; i < 20; i++) sut.takeMemory(16);
    expect(bytes()).toBe(128_000_000);
    expect(sut).toHaveProperty('ballast.length', 8);
    sut.clear();
    expect(sut).toHaveProperty('ballast.length', 0);
  });
});

it('only a SELECT is slowed down', () => {
  expect(slowSelect('SELECT id FROM books', 800)).toBe(
    'SELECT rows.* FROM (SELECT pg_sleep(0.8)) AS fault, LATERAL (SELECT id FROM books) AS rows',
  );
  expect(slowSelect('DELETE FROM books', 800)).toBe('DELETE FROM books');
});
