import { Injectable } from '@nestjs/common';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Faults } from './faults';

const MB = 1_000_000;
const MOST_MEMORY = 128 * MB;

/** Which faults hold for everybody, and which for the request at hand. */
@Injectable()
export class FaultsService {
  /** The faults of the request that the calling code works for. */
  readonly ofRequest = new AsyncLocalStorage<Faults>();
  private forEverybody: Faults = {};
  private until = 0;
  private ballast: Buffer[] = [];

  /** Sets the faults of every request, for so many seconds: what is forgotten ends by itself. */
  set(faults: Faults, seconds: number): void {
    this.forEverybody = faults;
    this.until = Date.now() + seconds * 1000;
    if (!faults.memoryMb) this.ballast = [];
  }

  get(): Faults {
    if (Date.now() >= this.until) this.set({}, Infinity);
    return this.forEverybody;
  }

  /** Takes memory until the next `set()` without this fault. */
  takeMemory(megabytes: number): void {
    const taken = this.ballast.reduce((sum, { length }) => sum + length, 0);
    const size = Math.min(megabytes * MB, MOST_MEMORY - taken);
    if (size > 0) this.ballast.push(Buffer.alloc(size, 1)); // filled: else it would not be resident
  }
}
