import { Controller, Get, ServiceUnavailableException } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  HealthCheckService,
  HealthIndicatorService,
  type HealthCheckResult,
} from '@nestjs/terminus';
import { Pool } from 'pg';
import { ApiProblem } from '../problem-details/problem-details';

@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicator: HealthIndicatorService,
    private readonly pool: Pool,
  ) {}

  /** The process runs and answers. */
  @Get('live')
  @ApiOperation({ summary: 'Is the process alive?' })
  @ApiOkResponse()
  live(): Promise<HealthCheckResult> {
    return this.health.check([]);
  }

  /** The service can do its work: the database answers. Throws 503 when it does not. */
  @Get('ready')
  @ApiOperation({ summary: 'Can it serve requests, is the database there?' })
  @ApiOkResponse()
  @ApiProblem(503, 'The database does not answer')
  async ready(): Promise<HealthCheckResult> {
    try {
      return await this.health.check([() => this.database()]);
    } catch {
      throw new ServiceUnavailableException('The database does not answer');
    }
  }

  private async database() {
    const database = this.indicator.check('database');
    try {
      await this.pool.query('SELECT 1');
      return database.up();
    } catch {
      return database.down();
    }
  }
}
