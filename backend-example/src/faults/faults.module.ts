import {
  Logger,
  MiddlewareConsumer,
  Module,
  NestModule,
  OnModuleInit,
} from '@nestjs/common';
import { Pool } from 'pg';
import { BooksController } from '../books/books.controller';
import { jsonBody } from '../validation/json-body';
import { FaultsController } from './faults.controller';
import { FaultsMiddleware } from './faults.middleware';
import { FaultsService } from './faults.service';
import { slowDownSelects } from './slow-sql';

/** Breaks the books API on purpose, for lessons and tests of the alerts. Only with FAULTS_ENABLED=true. */
@Module({ controllers: [FaultsController], providers: [FaultsService] })
export class FaultsModule implements NestModule, OnModuleInit {
  constructor(
    private readonly pool: Pool,
    private readonly faults: FaultsService,
  ) {}

  onModuleInit(): void {
    slowDownSelects(this.pool, this.faults);
    new Logger('Faults').warn('Fault injection is enabled');
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(...jsonBody).forRoutes(FaultsController);
    // Not for FaultsController: faults can always be taken back.
    consumer.apply(FaultsMiddleware).forRoutes(BooksController);
  }
}
