import { isQuietPath } from './quiet-paths';

describe(isQuietPath.name, () => {
  it.each([
    ['/metrics'],
    ['/faults'],
    ['/health/live'],
    ['/health/ready?verbose=1'],
  ])('is true for %s', (url) => expect(isQuietPath(url)).toBe(true));

  it.each([
    ['/'],
    [undefined],
    ['/books/find'],
    ['/healthy'],
    ['/metrics/x'],
    ['/health/'],
    ['/health/live/../../books/find'],
    ['http://localhost/health/live'],
    ['/books/find?from=/health/live'],
  ])('is false for %s', (url) => expect(isQuietPath(url)).toBe(false));
});
