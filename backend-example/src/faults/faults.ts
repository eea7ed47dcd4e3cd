import { BadRequestException } from '@nestjs/common';

/** What each fault may be at most, so that a lesson cannot end the service for good. */
const LIMITS = {
  /** Waits this long before the request is worked on, in milliseconds. */
  latencyMs: 10_000,
  /** The share of requests answered with 500: 0.2 is every fifth. */
  errorRatio: 1,
  /** Makes each SELECT of the request take this much longer in the database, in milliseconds. */
  slowSqlMs: 4_000, // the pool gives up after 5 s
  /** Keeps the event loop busy for so long, in milliseconds: every other request waits, too. */
  blockMs: 1_000,
  /** Memory that the request takes and does not give back, in MB; all together at most 128. */
  memoryMb: 16,
};

export type FaultName = keyof typeof LIMITS;

/** The faults of a request; what is missing does not happen. */
export type Faults = Partial<Record<FaultName, number>>;

/**
 * Checks faults that came in from outside.
 * @throws BadRequestException naming what is wrong and what is allowed
 */
export function parseFaults(input: Record<string, unknown>): Faults {
  for (const [name, value] of Object.entries(input)) {
    if (!Object.hasOwn(LIMITS, name)) {
      throw new BadRequestException(
        `There is no fault ${name}; there are ${Object.keys(LIMITS).join(', ')}`,
      );
    }
    const most = LIMITS[name as FaultName];
    if (typeof value !== 'number' || !(value >= 0 && value <= most)) {
      throw new BadRequestException(
        `${name} must be a number from 0 to ${most}`,
      );
    }
  }
  return input as Faults;
}

/**
 * The faults that one request asks for: `X-Fault: latencyMs=300, errorRatio=1`.
 * @throws BadRequestException
 */
export function parseFaultHeader(header = ''): Faults {
  const pairs = header.split(',').filter((pair) => pair.trim() !== '');
  return parseFaults(
    Object.fromEntries(
      pairs.map((pair) => {
        const [name, value = ''] = pair.split('=', 2).map((s) => s.trim());
        return [name, value === '' ? NaN : Number(value)];
      }),
    ),
  );
}
