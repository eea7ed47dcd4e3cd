import { MiddlewareConsumer, Module, NestModule } from '@nestjs/common';
import { jsonBody } from '../validation/json-body';
import { BooksController } from './books.controller';
import { BooksRepository } from './books.repository';
import { BooksService } from './books.service';

@Module({
  controllers: [BooksController],
  providers: [BooksService, BooksRepository],
})
export class BooksModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    // Bound to the routes, not to every path, so that telemetry names the route of a bad body.
    consumer.apply(...jsonBody).forRoutes(BooksController);
  }
}
