import {
  BadRequestException,
  HttpException,
  Injectable,
  Logger,
  OnApplicationBootstrap,
  OnApplicationShutdown,
} from '@nestjs/common';
import {
  createServer,
  STATUS_CODES,
  type IncomingMessage,
  type Server,
} from 'node:http';
import { text } from 'node:stream/consumers';
import { PROBLEM_JSON } from '../problem-details/problem-details';
import { parseFaults } from './faults';
import { faultsPort } from './faults.config';
import { FaultsService } from './faults.service';

/**
 * Faults for everybody, on a port of its own that is never published:
 * `GET /faults`, `PUT /faults` with `{"slowSqlMs": 800, "seconds": 60}`, `DELETE /faults`.
 * Without `seconds` they end after ten minutes.
 */
@Injectable()
export class FaultsAdmin
  implements OnApplicationBootstrap, OnApplicationShutdown
{
  private readonly logger = new Logger('Faults');
  private server: Server | undefined;

  constructor(private readonly faults: FaultsService) {}

  onApplicationBootstrap(): void {
    this.server = createServer((request, response) => {
      this.handle(request)
        .then((body) => {
          response.setHeader('content-type', 'application/json').end(body);
        })
        .catch((error: Error) => {
          const status =
            error instanceof HttpException ? error.getStatus() : 500;
          const title = STATUS_CODES[status];
          const { message: detail } = error;
          response
            .writeHead(status, { 'content-type': PROBLEM_JSON })
            .end(
              JSON.stringify({ type: 'about:blank', title, status, detail }),
            );
        });
    });
    this.server.on('error', (error) => {
      this.logger.error(`Faults cannot be set: ${error.message}`);
    });
    this.server.listen(faultsPort(), process.env.HOST);
    this.logger.warn('Fault injection is enabled');
  }

  onApplicationShutdown(): void {
    this.server?.close();
    this.server?.closeAllConnections();
  }

  private async handle(request: IncomingMessage): Promise<string> {
    if (request.url !== '/faults') throw new HttpException('Not found', 404);
    if (request.method === 'PUT') {
      const { seconds = 600, ...faults } = jsonObject(await text(request));
      if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= 3600)) {
        throw new BadRequestException('seconds must be a number up to 3600');
      }
      this.faults.set(parseFaults(faults), seconds);
      this.logger.warn(`Faults for everybody: ${JSON.stringify(faults)}`);
    } else if (request.method === 'DELETE') {
      this.faults.set({}, Infinity);
      this.logger.log('No faults any more');
    } else if (request.method !== 'GET') {
      throw new HttpException('Use GET, PUT or DELETE', 405);
    }
    return JSON.stringify(this.faults.get());
  }
}

function jsonObject(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // the same answer
  }
  throw new BadRequestException('Send a JSON object');
}
