import { isDatabaseUnavailable } from './database-unavailable';

const coded = (code: string) => Object.assign(new Error('message'), { code });

describe(isDatabaseUnavailable.name, () => {
  it.each([
    [coded('ECONNREFUSED')],
    [coded('ENOTFOUND')],
    [coded('08006')], // connection failure
    [coded('53300')], // too many connections
    [coded('57P01')], // shut down by the administrator
    [coded('57014')], // statement timeout
    [new Error('Connection terminated unexpectedly')],
    [new Error('Connection terminated due to connection timeout')],
    [new Error('timeout exceeded when trying to connect')],
    [new Error('Query read timeout')],
  ])('is true for %p', (error) => {
    expect(isDatabaseUnavailable(error)).toBe(true);
  });

  it.each([
    [coded('23505')], // unique violation
    [coded('42P01')], // no such table
    [coded('28P01')], // wrong password
    [coded('ENOSPC')],
    [new Error('message')],
    ['ECONNREFUSED'],
    [undefined],
  ])('is false for %p', (error) => {
    expect(isDatabaseUnavailable(error)).toBe(false);
  });
});
