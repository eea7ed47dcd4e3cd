import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { json } from 'node:stream/consumers';

/** A server that answers every message with "ok", as Slack's incoming webhooks do, and keeps it. */
export async function startWebhook<T>(port = 0) {
  const messages: T[] = [];
  const server: Server = createServer((request, response) => {
    void json(request).then((body) => {
      messages.push(body as T);
      response.end('ok');
    });
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: bound } = server.address() as { port: number };
  return {
    messages,
    port: bound,
    url: `http://127.0.0.1:${bound}/services/T0/B0/secret`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
