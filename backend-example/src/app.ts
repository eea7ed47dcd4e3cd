import type { NestExpressApplication } from '@nestjs/platform-express';
import { NestFactory } from '@nestjs/core';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Logger } from 'nestjs-pino';
import { AppModule } from './app.module';
import { readEnv } from './env';
import { LimitedExpressAdapter } from './http-server';

const LOCALHOST = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/**
 * The complete application, not yet listening: what main.ts runs and the tests call.
 * @throws what a module throws while it is set up, such as a database that does not answer
 */
export async function createApp(): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(
    AppModule,
    new LimitedExpressAdapter(),
    {
      bufferLogs: true,
      abortOnError: false, // an error is thrown: main.ts sends it before the process ends
      // BooksModule parses bodies, after the logger: a request with a bad body is logged as well.
      bodyParser: false,
    },
  );
  app.useLogger(app.get(Logger));
  // Nest would buffer until it listens, and hide what start-up says about the database.
  app.flushLogs();
  app.disable('x-powered-by');
  const { corsOrigins } = readEnv();
  app.enableCors({
    // A function: with a list, other origins would get all headers but one.
    origin: (origin: string | undefined, allow) =>
      allow(
        null,
        origin !== undefined &&
          (corsOrigins?.includes(origin) ?? LOCALHOST.test(origin)),
      ),
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    // What a traced page sends along, and what it needs to name the trace.
    allowedHeaders: ['content-type', 'traceparent', 'tracestate', 'baggage'],
    exposedHeaders: ['X-Trace-Id'],
    maxAge: 600,
  });

  const openApi = new DocumentBuilder()
    .setTitle('Books')
    .setDescription(
      'A small service to watch through traces, logs and metrics.',
    )
    .setVersion('1.0')
    .build();
  SwaggerModule.setup('api', app, SwaggerModule.createDocument(app, openApi));

  return app;
}
