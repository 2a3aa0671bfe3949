// A TCP relay in front of a broker: it can cut every connection, let them go silent, refuse new ones, and look at what clients
// send.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Relay {
  readonly port: number;
  /** Destroys all connections; new ones are let through. */
  cut(): void;
  /** From now on nothing passes over the connections there are, and nobody is notified; new ones are sound. */
  mute(): void;
  /** While refused, a new connection is destroyed at once. */
  refuse(refused: boolean): void;
  /** Connections that are open now. */
  readonly connections: number;
  stop(): Promise<void>;
}

export async function startRelay(targetPort: number, onClientBytes?: (bytes: Buffer, connection: number) => void): Promise<Relay> {
  const sockets = new Set<Socket>();
  let refused = false;
  let count = 0;
  const track = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
  };
  const server = createServer({ noDelay: true }, (client) => {
    if (refused) {
      client.on("error", () => {});
      client.destroy();
      return;
    }
    const target = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
    track(client, target);
    track(target, client);
    const connection = (count += 1);
    if (onClientBytes !== undefined) client.on("data", (bytes: Buffer) => onClientBytes(bytes, connection));
    client.pipe(target);
    target.pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const mute = (): void => {
    for (const socket of sockets) socket.unpipe().resume();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    mute,
    refuse(yes) {
      refused = yes;
    },
    get connections() {
      return sockets.size / 2;
    },
    async stop() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
