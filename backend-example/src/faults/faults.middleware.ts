import { Injectable, NestMiddleware } from '@nestjs/common';
import { trace } from '@opentelemetry/api';
import type { NextFunction, Request, Response } from 'express';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseFaultHeader, type Faults } from './faults';
import { FaultsService } from './faults.service';

/** Span attributes: what was done to the request on purpose. */
const ATTRIBUTES = {
  latencyMs: 'fault.latency_ms',
  errorRatio: 'fault.error_ratio',
  slowSqlMs: 'fault.slow_sql_ms',
  blockMs: 'fault.block_ms',
  memoryMb: 'fault.memory_mb',
};

/** Makes a request slow or failing: as set for everybody, or as its header `X-Fault` asks for. */
@Injectable()
export class FaultsMiddleware implements NestMiddleware {
  constructor(private readonly faults: FaultsService) {}

  async use(request: Request, _response: Response, next: NextFunction) {
    const faults: Faults = {
      ...this.faults.get(),
      ...parseFaultHeader(request.get('x-fault')),
    };
    const span = trace.getActiveSpan();
    for (const [name, value] of Object.entries(faults)) {
      if (value > 0)
        span?.setAttribute(ATTRIBUTES[name as keyof Faults], value);
    }
    const { latencyMs, errorRatio, blockMs, memoryMb } = faults;
    if (memoryMb) this.faults.takeMemory(memoryMb);
    if (blockMs) block(blockMs);
    if (latencyMs) await sleep(latencyMs);
    if (errorRatio && Math.random() < errorRatio)
      throw new Error('An injected fault');
    this.faults.ofRequest.run(faults, next);
  }
}

function block(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}
