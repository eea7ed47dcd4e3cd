import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

type Value = Record<string, any>;
type Attribute = { key: string; value: Value };

export type Attributes = Record<string, unknown>;

/** A span or a log record as it arrived, with its attributes as a plain object. */
export type Item = Record<string, any> & { attributes: Attributes };

/** A stand-in for the collector: takes OTLP/HTTP in its JSON form and keeps it. */
export async function startReceiver() {
  const spans: Item[] = [];
  const logs: Item[] = [];
  const resources: Attributes[] = [];
  const bodies: string[] = [];

  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      bodies.push(body);
      const data = JSON.parse(body) as Record<string, any>;
      for (const group of [
        ...(data.resourceSpans ?? []),
        ...(data.resourceLogs ?? []),
      ] as Record<string, any>[]) {
        resources.push(plain(group.resource.attributes));
        for (const scope of group.scopeSpans ?? [])
          spans.push(...scope.spans.map(withAttributes));
        for (const scope of group.scopeLogs ?? [])
          logs.push(...scope.logRecords.map(withAttributes));
      }
      response.setHeader('content-type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    logs,
    resources,
    bodies,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function withAttributes(item: Record<string, any>): Item {
  return { ...item, attributes: plain(item.attributes ?? []) };
}

function plain(attributes: Attribute[]): Attributes {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, unwrap(value)]),
  );
}

/** {"stringValue": "a"} → "a"; 64-bit integers may arrive as strings. */
function unwrap(value: Value): unknown {
  const [type, content] = Object.entries(value)[0];
  return type === 'intValue' ? Number(content) : (content as unknown);
}
