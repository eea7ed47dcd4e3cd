import {
  MiddlewareConsumer,
  Module,
  NestModule,
  OnModuleInit,
} from '@nestjs/common';
import { Pool } from 'pg';
import { BooksController } from '../books/books.controller';
import { FaultsAdmin } from './faults.admin';
import { FaultsMiddleware } from './faults.middleware';
import { FaultsService } from './faults.service';
import { slowDownSelects } from './slow-sql';

/** Breaks the books API on purpose, for lessons and tests of the alerts. Only with FAULTS_ENABLED=true. */
@Module({ providers: [FaultsService, FaultsAdmin] })
export class FaultsModule implements NestModule, OnModuleInit {
  constructor(
    private readonly pool: Pool,
    private readonly faults: FaultsService,
  ) {}

  onModuleInit(): void {
    slowDownSelects(this.pool, this.faults);
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(FaultsMiddleware).forRoutes(BooksController);
  }
}
