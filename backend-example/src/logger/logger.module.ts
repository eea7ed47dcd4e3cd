import { Module } from '@nestjs/common';
import { LoggerModule as PinoLoggerModule } from 'nestjs-pino';
import { loggerConfig } from './logger.config';

/** Logs through pino. Code uses the `Logger` of @nestjs/common, which main.ts points here. */
@Module({ imports: [PinoLoggerModule.forRoot(loggerConfig())] })
export class LoggerModule {}
