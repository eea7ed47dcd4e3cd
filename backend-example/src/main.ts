import './check-env';
// It installs the hooks that patch the modules loaded below.
import { otelSDK } from './instrumentation';
// Nest 12 imports express as an ES module, which the hooks do not see: load it here with require.
import 'express';
import { Logger } from '@nestjs/common';
import type { Server, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { pinoHttp } from 'pino-http';
import { createApp } from './app';
import { readEnv } from './env';
import { loggerConfig } from './logger/logger.config';

const logger = new Logger('Main');

async function bootstrap(): Promise<void> {
  otelSDK.start();

  const app = await createApp();

  const shutdown = async (signal: string) => {
    logger.log(`${signal} received, shutting down`);
    // Node.js closes the connections that are idle; on the others, clients would go on.
    const server = app.getHttpServer() as Server;
    server.prependListener('request', (_, response: ServerResponse) => {
      response.setHeader('Connection', 'close');
    });
    // Together below the 10 s that Docker waits before it kills.
    await atMost(4000, 'closing the server', app.close());
    server.closeAllConnections(); // nothing is answered whose telemetry would not be sent
    await exit(0);
  };
  process.once('SIGTERM', () => void shutdown('SIGTERM'));
  process.once('SIGINT', () => void shutdown('SIGINT'));

  const { host, port } = readEnv();
  await (host ? app.listen(port, host) : app.listen(port));
  logger.log(`Listening on ${await app.getUrl()}`);
}

/** Sends what telemetry is still queued, then ends the process. */
async function exit(code: number): Promise<never> {
  await atMost(5000, 'flushing telemetry', otelSDK.shutdown());
  process.exit(code);
}

/** Waits for `work`, but no longer than `milliseconds`; a failure or a time-out is logged, never thrown. */
async function atMost(
  milliseconds: number,
  what: string,
  work: Promise<void>,
): Promise<void> {
  const failed = (error: Error) => {
    logger.warn(`${what} failed: ${error.message}`);
  };
  const late = () => {
    logger.warn(`${what} took longer than ${milliseconds} ms`);
  };
  await Promise.race([work.catch(failed), sleep(milliseconds).then(late)]);
}

/** The last words: an error that nobody has caught is in Loki, too, with all that was queued before it. */
async function fail(error: Error): Promise<never> {
  // An error in here is Node's, which prints it and ends: fail() must not be called for it again.
  process.removeAllListeners('uncaughtException');
  try {
    // Not Nest's logger: it may not be connected to pino yet.
    const { logger } = pinoHttp(loggerConfig().pinoHttp);
    logger.fatal({ err: error }, error.message);
  } catch {
    console.error(error);
  }
  return exit(1);
}

process.on('uncaughtException', (error) => void fail(error));
bootstrap().catch(fail);
