import { parseFaultHeader, parseFaults } from './faults';
import { faultsEnabled, faultsPort } from './faults.config';
import { FaultsService } from './faults.service';
import { slowSelect } from './slow-sql';

describe('the header X-Fault', () => {
  it.each([
    [undefined, {}],
    ['', {}],
    ['latencyMs=300', { latencyMs: 300 }],
    [' errorRatio = 0.5 , slowSqlMs=800,', { errorRatio: 0.5, slowSqlMs: 800 }],
  ])('%s is %j', (header, faults) => {
    expect(parseFaultHeader(header)).toEqual(faults);
  });

  it.each([
    ['latency=1', 'There is no fault latency; there are latencyMs, '],
    ['latencyMs', 'latencyMs must be a number from 0 to 10000'],
    ['latencyMs=-1', 'latencyMs must be a number from 0 to 10000'],
    ['errorRatio=1.1', 'errorRatio must be a number from 0 to 1'],
    ['slowSqlMs=4001', 'slowSqlMs must be a number from 0 to 4000'],
    ['blockMs=1001', 'blockMs must be a number from 0 to 1000'],
    ['memoryMb=17', 'memoryMb must be a number from 0 to 16'],
    ['constructor=1', 'There is no fault constructor'],
  ])('%s is refused', (header, message) => {
    expect(() => parseFaultHeader(header)).toThrow(message);
  });
});

it('refuses a number that is a text', () => {
  expect(() => parseFaults({ latencyMs: '300' })).toThrow(
    'latencyMs must be a number from 0 to 10000',
  );
});

describe('faults for everybody', () => {
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
    sut.set({}, Infinity);
    expect(sut).toHaveProperty('ballast.length', 0);
  });
});

it('only a SELECT is slowed down', () => {
  expect(slowSelect('SELECT id FROM books', 800)).toBe(
    'SELECT rows.* FROM (SELECT pg_sleep(0.8)) AS fault, LATERAL (SELECT id FROM books) AS rows',
  );
  expect(slowSelect('DELETE FROM books', 800)).toBe('DELETE FROM books');
});

it('is off unless FAULTS_ENABLED is true', () => {
  expect(faultsEnabled({})).toBe(false);
  expect(faultsEnabled({ FAULTS_ENABLED: 'false' })).toBe(false);
  expect(faultsEnabled({ FAULTS_ENABLED: 'true' })).toBe(true);
  expect(faultsPort({})).toBe(5556);
  expect(faultsPort({ FAULTS_PORT: '7' })).toBe(7);
});
