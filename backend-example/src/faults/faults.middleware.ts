import { Injectable, NestMiddleware } from '@nestjs/common';
import { trace } from '@opentelemetry/api';
import type { NextFunction, Request, Response } from 'express';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultsDto } from './dto/faults.dto';
import { parseFaultHeader } from './fault-header';
import { FaultsService } from './faults.service';

/** Span attributes: what was done to the request on purpose. */
const ATTRIBUTES = [
  ['latencyMs', 'fault.latency_ms'],
  ['errorRatio', 'fault.error_ratio'],
  ['slowSqlMs', 'fault.slow_sql_ms'],
  ['blockMs', 'fault.block_ms'],
  ['memoryMb', 'fault.memory_mb'],
] as const;

/** Makes a request slow or failing: as set for all requests, or as its header `X-Fault` asks for. */
@Injectable()
export class FaultsMiddleware implements NestMiddleware {
  constructor(private readonly faults: FaultsService) {}

  async use(request: Request, _response: Response, next: NextFunction) {
    const forAll = this.faults.get();
    const own = await parseFaultHeader(request.get('x-fault'));
    const faults: FaultsDto = {};
    for (const [name, attribute] of ATTRIBUTES) {
      const value = own[name] ?? forAll[name];
      if (!value) continue;
      faults[name] = value;
      trace.getActiveSpan()?.setAttribute(attribute, value);
    }
    const { latencyMs, errorRatio, blockMs, memoryMb } = faults;
    if (memoryMb) this.faults.takeMemory(memoryMb);
    if (blockMs) block(blockMs);
    if (latencyMs) await sleep(latencyMs);
    if (errorRatio && Math.random() < errorRatio)
      throw new Error('An injected fault', {
        cause: new Error(`errorRatio is ${errorRatio}`),
      });
    this.faults.ofRequest.run(faults, next);
  }
}

function block(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}
