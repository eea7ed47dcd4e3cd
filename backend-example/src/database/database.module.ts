import {
  Global,
  Logger,
  Module,
  OnApplicationShutdown,
  OnModuleInit,
} from '@nestjs/common';
import { MetricService } from 'nestjs-otel';
import { Pool } from 'pg';
import { connectionConfig, poolConfig } from './database.config';
import { measureDatabaseUp } from './database-up.metric';
import { migrate } from './migrate';

const logger = new Logger('Database');

function createPool(): Pool {
  const pool = new Pool(poolConfig());
  // A connection that is lost while idle has no query to report it to; unheard it would end the
  // process. The pool replaces it by itself.
  pool.on('error', (error) => {
    logger.warn(`Lost an idle connection: ${error.message}`);
  });
  return pool;
}

/** Provides the `Pool` of pg to the whole application. */
@Global()
@Module({
  providers: [{ provide: Pool, useFactory: createPool }],
  exports: [Pool],
})
export class DatabaseModule implements OnModuleInit, OnApplicationShutdown {
  private stopMeasuring = () => Promise.resolve();

  constructor(
    private readonly pool: Pool,
    private readonly metrics: MetricService,
  ) {}

  async onModuleInit(): Promise<void> {
    await migrate(connectionConfig());
    this.stopMeasuring = measureDatabaseUp(connectionConfig(), this.metrics);
  }

  // After the HTTP server has closed: the last requests still need the pool.
  async onApplicationShutdown(): Promise<void> {
    await this.stopMeasuring();
    await this.pool.end();
  }
}
