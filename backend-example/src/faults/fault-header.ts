import { RequestValidationPipe } from '../validation/request-validation.pipe';
import { FaultsDto } from './dto/faults.dto';

const pipe = new RequestValidationPipe();

/**
 * The faults that one request asks for: `X-Fault: latencyMs=300, errorRatio=1`.
 * @throws InvalidRequestException naming each fault that does not exist or is out of its range
 */
export async function parseFaultHeader(header = ''): Promise<FaultsDto> {
  const pairs = header.split(',').filter((pair) => pair.trim() !== '');
  const faults = Object.fromEntries(
    pairs.map((pair) => {
      const [name, value = ''] = pair.split('=', 2).map((s) => s.trim());
      return [name, value === '' ? NaN : Number(value)];
    }),
  );
  // As a query: the answer names a parameter, not a place in the body.
  const source = { type: 'query', metatype: FaultsDto } as const;
  return (await pipe.transform(faults, source)) as FaultsDto;
}
