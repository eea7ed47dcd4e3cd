import { randomBytes } from 'node:crypto';
import type { OtlpSignal } from '../../cli/stores.ts';

// OTLP in protobuf, written by hand: unlike a library it does not mind what it writes.
// https://protobuf.dev/programming-guides/encoding, https://github.com/open-telemetry/opentelemetry-proto

type Bytes = Uint8Array<ArrayBuffer>;
/** The number of a field, and its value: text, bytes or a message; a varint; a double; or eight bytes as they are. */
export type Field = [number, string | Bytes | bigint | number | { fixed64: bigint }];

export const SIGNALS: OtlpSignal[] = ['logs', 'traces', 'metrics'];

/** A message. Of a field that comes twice the last one counts, unless it is a list. */
export const message = (...fields: Field[]): Buffer<ArrayBuffer> =>
  Buffer.concat(
    fields.flatMap(([number, value]) => {
      const tag = (wireType: number) => varint(BigInt(number * 8 + wireType));
      if (typeof value === 'bigint') return [tag(0), varint(value)];
      if (typeof value === 'string' || value instanceof Uint8Array) {
        const bytes = typeof value === 'string' ? Buffer.from(value) : value;
        return [tag(2), varint(BigInt(bytes.length)), bytes];
      }
      const eight = Buffer.alloc(8);
      if (typeof value === 'number') eight.writeDoubleLE(value);
      else eight.writeBigUInt64LE(BigInt.asUintN(64, value.fixed64));
      return [tag(1), eight];
    }),
  );

/** Negative numbers in two's complement, of 64 bits. */
export function varint(value: bigint): Buffer<ArrayBuffer> {
  const bytes = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

/** Messages in a field that is a list. */
export const all = (field: number, messages: Bytes[]) =>
  Buffer.concat(messages.map((one) => message([field, one])));

/** Numbers in a field that is a packed list. */
export const longs = (...values: bigint[]) =>
  Buffer.concat(values.map((value) => message([1, { fixed64: value }]).subarray(1)));
export const doubles = (...values: number[]) =>
  Buffer.concat(values.map((value) => message([1, value]).subarray(1)));
export const varints = (...values: bigint[]) => Buffer.concat(values.map(varint));

/** A signed number as a varint, where the field is of the type sint32. */
export const signed = (value: number) =>
  value < 0 ? BigInt(value) * -2n - 1n : BigInt(value) * 2n;

// ---- values and attributes

export const text = (value: string | Bytes) => message([1, value]);
export const list = (values: Bytes[]) => message([5, all(1, values)]);
export const map = (...pairs: Bytes[]) => message([6, all(1, pairs)]);
export const pair = (key: string | Bytes, value: string | Bytes = 'v') =>
  message([1, key], [2, typeof value === 'string' ? text(value) : value]);

/** So many attributes, to be put behind a record that has them in this field. */
export const attributes = (field: number, count: number) =>
  all(
    field,
    Array.from(Array(count).keys(), (i) => pair(`k${i}`)),
  );

/** A value in a list (or a map) in a list in a list …: written from the inside out. */
export function nested(depth: number, kind: 'lists' | 'maps'): Buffer<ArrayBuffer> {
  const parts = [text('x')];
  let length = parts[0]!.length;
  // what stands before the length of the inner one; a map is a list of pairs, here of "k" and a value
  const around = kind === 'lists' ? [[0x0a], [0x2a]] : [[0x0a, 1, 0x6b, 0x12], [0x0a], [0x32]];
  for (let i = 0; i < depth; i++)
    for (const bytes of around) {
      const part = Buffer.from([...bytes, ...varint(BigInt(length))]);
      parts.push(part);
      length += part.length;
    }
  return Buffer.concat(parts.toReversed());
}

// ---- records

export const HOUR = 3_600_000_000_000n;
/** A time: so many nanoseconds after now. */
export const at = (afterNs = 0n) => ({ fixed64: BigInt(Date.now()) * 1_000_000n + afterNs });

export const log = (body: string | Bytes, ...more: Field[]) =>
  message([1, at()], [5, text(body)], ...more);

export function span(name: string | Bytes, ...more: Field[]) {
  const ids: Field[] = [
    [1, Buffer.from(randomBytes(16))],
    [2, Buffer.from(randomBytes(8))],
  ];
  return message(...ids, [5, name], [6, 2n], [7, at(-1_000_000n)], [8, at()], ...more);
}

export const point = (...more: Field[]) => message([3, at()], [4, 1], ...more);
/** A metric with its points, and what else there is, in the field of its kind. */
export const metric = (kind: number, name: string | Bytes, points: Bytes[], ...more: Field[]) =>
  message([1, name], [kind, Buffer.concat([all(1, points), message(...more)])]);
const CUMULATIVE: Field = [2, 2n];
export const gauge = (name: string | Bytes, ...points: Bytes[]) => metric(5, name, points);
export const counter = (name: string, ...points: Bytes[]) =>
  metric(7, name, points, CUMULATIVE, [3, 1n]);
/** @param more of its one point, which counts 9 */
export const histogram = (name: string, ...more: Field[]) =>
  metric(9, name, [message([3, at()], [4, { fixed64: 9n }], [5, 9], ...more)], CUMULATIVE);
export function exponential(name: string, scale: number, offset: number, ...counts: bigint[]) {
  const buckets = message([1, signed(offset)], [2, varints(...counts)]);
  const sum: Field[] = [
    [4, { fixed64: 1n }],
    [5, 1],
  ];
  return metric(
    10,
    name,
    [message([3, at()], ...sum, [6, signed(scale)], [8, buckets])],
    CUMULATIVE,
  );
}

// ---- requests

export const resource = (...pairs: Bytes[]) => all(1, pairs);
export const service = (name: string | Bytes) => resource(pair('service.name', name));
/** The records of one resource; one behind the other, requests are one request. */
export const request = (whose: Bytes, ...records: Bytes[]) =>
  message([1, message([1, whose], [2, all(2, records)])]);
