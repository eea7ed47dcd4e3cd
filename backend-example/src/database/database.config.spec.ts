import { connectionConfig, poolConfig } from './database.config';

describe(connectionConfig.name, () => {
  it.each([[undefined], ['']])('has a default for %p', (DATABASE_URL) => {
    expect(connectionConfig({ DATABASE_URL })).toMatchObject({
      host: 'localhost',
      port: 5432,
      user: 'books',
      password: 'books',
      database: 'books',
    });
  });

  it('takes the url apart, since telemetry names the database by the parts', () => {
    const config = poolConfig({
      DATABASE_URL: 'postgresql://me:p%40ss@db.example:6543/library',
    });
    expect(config).toMatchObject({
      host: 'db.example',
      port: 6543,
      user: 'me',
      password: 'p@ss',
      database: 'library',
    });
    expect(config).not.toHaveProperty('connectionString');
  });
});
