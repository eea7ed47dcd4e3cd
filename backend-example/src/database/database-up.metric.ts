import type { MetricService } from 'nestjs-otel';
import { Client, type ClientConfig } from 'pg';

/** How long the database may take to answer, in milliseconds: less than the scrape's time-out of 2 s. */
const PATIENCE = 1000;

/**
 * The gauge `database_up`: 1 when the database answers, 0 when it does not, asked at each scrape.
 * Without it a lost database would only be noticed when somebody calls.
 *
 * It has a connection of its own: when slow queries take up the whole pool, the database still answers.
 * @returns a function that closes that connection
 */
export function measureDatabaseUp(
  config: ClientConfig,
  metrics: MetricService,
): () => Promise<void> {
  let client: Client | undefined;

  const close = async () => {
    const old = client;
    client = undefined;
    await old?.end().catch(() => undefined);
  };

  const ask = async (): Promise<number> => {
    try {
      if (!client) {
        client = new Client({
          ...config,
          connectionTimeoutMillis: PATIENCE,
          query_timeout: PATIENCE,
        });
        // Without a listener a lost connection would end the process; the next query rejects anyway.
        client.on('error', () => undefined);
        await client.connect();
      }
      await client.query('SELECT 1');
      return 1;
    } catch {
      void close();
      return 0;
    }
  };

  metrics
    .getObservableGauge('database_up', {
      description: '1 when the database answers, 0 when it does not',
    })
    .addCallback(async (result) => result.observe(await ask()));
  return close;
}
