import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** How a way is: `slow` delays what is sent by 2 s, `hanging` takes it and does nothing, `closed` refuses. */
type Condition = 'open' | 'slow' | 'hanging' | 'closed';

/** A TCP port on this machine that leads to another, on a way that can be made bad. */
export class Way {
  port = 0;
  private readonly to: number;
  private readonly sockets = new Set<Socket>();
  private server?: Server;
  private condition: Condition = 'open';

  private constructor(to: number) {
    this.to = to;
  }

  /** One that is open. */
  static async to(port: number): Promise<Way> {
    const way = new Way(port);
    await way.listen();
    return way;
  }

  /** Ends the connections that there are; what begins from now on finds the way like this. */
  async make(condition: Condition): Promise<void> {
    this.condition = condition;
    if (condition === 'closed') await this.close();
    else if (!this.server) await this.listen();
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    const closed = server && once(server.close(), 'close');
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private async listen(): Promise<void> {
    this.server = createServer((socket) => this.lead(socket));
    await once(this.server.listen(this.port, '127.0.0.1'), 'listening');
    ({ port: this.port } = this.server.address() as AddressInfo);
  }

  private lead(from: Socket): void {
    this.keep(from);
    if (this.condition === 'hanging') return void from.resume();
    const delayMs = this.condition === 'slow' ? 2_000 : 0;
    const to = this.keep(connect(this.to, '127.0.0.1'));
    from.on('data', (data) => void setTimeout(() => to.writable && to.write(data), delayMs));
    to.pipe(from);
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
  }

  private keep(socket: Socket): Socket {
    this.sockets.add(socket);
    return socket.on('error', () => {}).on('close', () => this.sockets.delete(socket));
  }
}
