import type { MetricService } from 'nestjs-otel';
import type { Pool } from 'pg';

/**
 * The gauge `database_up`: 1 when the database answers, 0 when it does not, asked at each scrape.
 * Without it a lost database would only be noticed when somebody calls.
 *
 * @param patience how long to wait for the answer, in milliseconds; below the scrape's time-out of 2 s
 */
export function measureDatabaseUp(
  pool: Pool,
  metrics: MetricService,
  patience = 1000,
): void {
  // A database that hangs is asked once at a time, or the questions would take up the whole pool.
  let asked: Promise<number> | undefined;
  metrics
    .getObservableGauge('database_up', {
      description: '1 when the database answers, 0 when it does not',
    })
    .addCallback(async (result) => {
      asked ??= pool
        .query('SELECT 1')
        .then(
          () => 1,
          () => 0,
        )
        .finally(() => (asked = undefined));
      result.observe(await Promise.race([asked, zeroAfter(patience)]));
    });
}

const zeroAfter = (milliseconds: number) =>
  new Promise<number>((resolve) => {
    setTimeout(() => resolve(0), milliseconds).unref();
  });
