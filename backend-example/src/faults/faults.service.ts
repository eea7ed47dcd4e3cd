import { Injectable, Logger } from '@nestjs/common';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { FaultsDto } from './dto/faults.dto';

const MB = 1_000_000;
const MOST_MEMORY = 128 * MB;

/** Which faults hold for all requests, and which for the request at hand. */
@Injectable()
export class FaultsService {
  /** The faults of the request that the calling code works for. */
  readonly ofRequest = new AsyncLocalStorage<FaultsDto>();
  private readonly logger = new Logger('Faults');
  private forAllRequests: FaultsDto = {};
  private until = Infinity;
  private ballast: Buffer[] = [];

  /** Sets the faults of all requests, for so many seconds: what is forgotten ends by itself. */
  set(faults: FaultsDto, seconds: number): void {
    this.replace(faults, Date.now() + seconds * 1000);
    this.logger.warn(
      `Faults for all requests, for ${seconds} s: ${JSON.stringify(faults)}`,
    );
  }

  /** Takes the faults of all requests back. */
  clear(): void {
    this.replace({}, Infinity);
    this.logger.log('No faults for all requests any more');
  }

  /** The faults of all requests. */
  get(): FaultsDto {
    if (Date.now() >= this.until) this.clear();
    return this.forAllRequests;
  }

  /** Takes memory until the faults of all requests are without this fault. */
  takeMemory(megabytes: number): void {
    const taken = this.ballast.reduce((sum, { length }) => sum + length, 0);
    const size = Math.min(megabytes * MB, MOST_MEMORY - taken);
    if (size > 0) this.ballast.push(Buffer.alloc(size, 1)); // filled: else it would not be resident
  }

  private replace(faults: FaultsDto, until: number): void {
    this.forAllRequests = faults;
    this.until = until;
    if (!faults.memoryMb) this.ballast = [];
  }
}
