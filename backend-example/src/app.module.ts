import { Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { OpenTelemetryModule } from 'nestjs-otel';
import { BooksModule } from './books/books.module';
import { DatabaseModule } from './database/database.module';
import { readEnv } from './env';
import { FaultsModule } from './faults/faults.module';
import { HealthModule } from './health/health.module';
import { LoggerModule } from './logger/logger.module';
import { ProblemDetailsFilter } from './problem-details/problem-details.filter';
import { RequestValidationPipe } from './validation/request-validation.pipe';

const OpenTelemetryModuleConfig = OpenTelemetryModule.forRoot({
  metrics: { hostMetrics: true },
});

@Module({
  imports: [
    OpenTelemetryModuleConfig,
    LoggerModule,
    DatabaseModule,
    HealthModule,
    BooksModule,
    // Off unless asked for: then there is no /faults, and the header X-Fault means nothing.
    ...(readEnv().faultsEnabled ? [FaultsModule] : []),
  ],
  providers: [
    { provide: APP_FILTER, useClass: ProblemDetailsFilter },
    { provide: APP_PIPE, useClass: RequestValidationPipe },
  ],
})
export class AppModule {}
