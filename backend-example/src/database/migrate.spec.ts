import { Logger } from '@nestjs/common';
import { createServer, type AddressInfo } from 'node:net';
import { migrate } from './migrate';

describe(migrate.name, () => {
  it('says what to check when the database stays away', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockReturnValue();
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((listening) => server.once('listening', listening));
    const { port } = server.address() as AddressInfo;
    await new Promise((closed) => server.close(closed));
    const config = { host: '127.0.0.1', port, database: 'books' };

    await expect(migrate(config, 600, 150)).rejects.toThrow(
      `Cannot reach the database 127.0.0.1:${port}/books: connect ECONNREFUSED 127.0.0.1:${port}. ` +
        'Check that Postgres is running and that DATABASE_URL names it.',
    );
    expect(warn.mock.calls[0]).toEqual([
      `The database 127.0.0.1:${port}/books does not answer (connect ECONNREFUSED 127.0.0.1:${port}), trying for another 1 s`,
    ]);
  });
});
