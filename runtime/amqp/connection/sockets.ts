// Connections over TCP and TLS: dialling a peer, and listening for peers. Whoever has a socket already uses `openClient`
// and `openServer` directly.
import { connect as connectTcp, createServer as createTcpServer, isIP } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { ConnectionOptions as TlsConnectOptions, TlsOptions } from "node:tls";
import { openClient, openServer } from "./connection.ts";
import type { Connection, ConnectionEvents } from "./connection.ts";
import { encodeOwnOpen, openTimeOutMsDefault } from "./connection-options.ts";
import type { ClientOptions, ServerOptions } from "./connection-options.ts";

export interface DialOptions extends ClientOptions {
  readonly host: string;
  readonly port: number;
  /** Undefined: plain TCP. The server's name is taken from `host` unless it is given. */
  readonly tls?: TlsConnectOptions | undefined;
}

export interface ListenOptions extends ServerOptions {
  /** Default loopback. */
  readonly host?: string | undefined;
  /** 0 takes a free one. */
  readonly port: number;
  /** Undefined: plain TCP. */
  readonly tls?: TlsOptions | undefined;
}

export interface Listener {
  readonly port: number;
  /** Connections that are not over. */
  readonly connections: ReadonlySet<Connection>;
  /** Takes no more connections, closes those there are, and resolves when the last is over. */
  close(): Promise<void>;
}

/** Connects to a peer. What goes wrong on the way is reported by `onClosed`, as anything later. */
export function dial(options: DialOptions, events: ConnectionEvents): Connection {
  const { host, port, tls } = options;
  // Small frames must not wait for the acknowledgement of the ones before them.
  const socket =
    tls === undefined
      ? connectTcp({ host, port, noDelay: true })
      : connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }), ...tls }).setNoDelay(true);
  try {
    return openClient(socket, { hostname: host, ...options }, events);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/**
 * Listens for peers. Resolves when the port is taken; rejects when it cannot be. Throws a RangeError for options that no
 * connection could be made with.
 */
export async function listen(options: ListenOptions, events: ConnectionEvents): Promise<Listener> {
  encodeOwnOpen(options);
  const connections = new Set<Connection>();
  const handshaking = new Map<string, Socket>();
  const accept = (socket: Socket): void => {
    handshaking.delete(endpointOf(socket));
    const connection: Connection = openServer(socket, options, {
      ...events,
      onClosed(closed, end) {
        connections.delete(closed);
        events.onClosed?.(closed, end);
      },
    });
    connections.add(connection);
  };
  const server = options.tls === undefined ? createTcpServer({ noDelay: true }, accept) : createTlsListener(options, options.tls, accept, handshaking);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host ?? "127.0.0.1", resolve);
  });
  server.removeAllListeners("error");
  // A connection that could not be accepted is its peer's to notice; the listener goes on.
  server.on("error", () => undefined);
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    close: () =>
      new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        for (const connection of connections) connection.close();
        for (const socket of handshaking.values()) socket.destroy();
      }),
  };
}

/** A listener whose connections are handed on when TLS has begun; until then their sockets are in `handshaking`, by their far end. */
function createTlsListener(options: ListenOptions, tls: TlsOptions, accept: (socket: Socket) => void, handshaking: Map<string, Socket>): Server {
  const server = createTlsServer({ noDelay: true, handshakeTimeout: options.openTimeOutMs ?? openTimeOutMsDefault, ...tls }, accept);
  // Node reports a handshake that failed or took too long, and leaves the socket as it is.
  server.on("tlsClientError", (_error: Error, socket: Socket) => socket.destroy());
  server.on("connection", (socket: Socket) => {
    const endpoint = endpointOf(socket);
    handshaking.set(endpoint, socket);
    socket.once("close", () => {
      if (handshaking.get(endpoint) === socket) handshaking.delete(endpoint);
    });
  });
  return server;
}

function endpointOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
