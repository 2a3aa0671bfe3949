// AMQP for clients. Each socket is a connection of the engine; each link that a client wishes for is put to the protocol
// layer, which never sees the engine: links, outcomes and answers cross in the words of protocol/wire.ts.
import type { Socket } from "node:net";
import { type Connection, openServer } from "#runtime/amqp/connection/connection.ts";
import type { ConnectionEnd, ServerOptions } from "#runtime/amqp/connection/connection-options.ts";
import { hostMark } from "../protocol/tracking.ts";
import type { WireConnection, WireError, WireServer } from "../protocol/wire.ts";
import { addressOf, answerAttach } from "./attach.ts";

/** The mechanisms that clients use; the protocol layer decides who is let in. */
const mechanisms = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];

/** Silence is borne for twice as long. */
const idleTimeOutMs = 120_000;

const options: Omit<ServerOptions, "sasl"> = {
  containerId: "holdfast-broker",
  idleTimeOutMs,
  // How long `stop` waits for a client that does not answer.
  closeTimeOutMs: 1_000,
  // The SDK begins a session for each of its links, so sessions are what bounds a client.
  limits: { sessionsMax: 4_096, outputBytesHigh: 4 * 1024 * 1024, outputBytesMax: 32 * 1024 * 1024 },
};

const stopping: WireError = { condition: "amqp:connection:forced", description: "The broker stops." };

function tooMany(connectionsMax: number): WireError {
  return {
    condition: "amqp:resource-limit-exceeded",
    description: `ConnectionsQuotaExceeded for namespace: ${hostMark}. It takes at most ${connectionsMax} connections at one time.`,
  };
}

/** All AMQP connections of a broker. */
export class AmqpServer {
  readonly #server: WireServer;
  readonly #log: (message: string) => void;
  readonly #connectionsMax: number;
  readonly #onWriting: () => void;
  readonly #connections = new Set<ClientConnection>();

  /** @param onWriting called before anything is sent to a client */
  constructor(server: WireServer, log: (message: string) => void, connectionsMax: number = Infinity, onWriting: () => void = () => undefined) {
    this.#server = server;
    this.#log = log;
    this.#onWriting = onWriting;
    this.#connectionsMax = connectionsMax;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Serves AMQP on a socket whose first bytes are `head`. */
  accept(socket: Socket, head: Buffer): void {
    const isOneTooMany = this.#connections.size >= this.#connectionsMax;
    const client = new ClientConnection(socket, this.#server, isOneTooMany ? tooMany(this.#connectionsMax) : undefined, this.#onWriting, (end) => {
      this.#connections.delete(client);
      const trouble = describeTrouble(end);
      if (trouble !== undefined) this.#log(`${client.name}: ${trouble}`);
    });
    this.#connections.add(client);
    socket.unshift(head);
    socket.resume();
  }

  /** Cuts all connections; what waits to be sent is not. */
  cut(): void {
    for (const client of this.#connections) client.cut();
  }

  /** Closes all connections, and resolves when clients have answered or have not in time. */
  async stop(): Promise<void> {
    await Promise.all(
      [...this.#connections].map((client) => {
        client.close(stopping);
        return client.closed;
      }),
    );
  }
}

class ClientConnection implements WireConnection {
  readonly closed: Promise<void>;
  readonly #peer: string;
  readonly #connection: Connection;
  readonly #socket: Socket;
  readonly #server: WireServer;
  #containerId = "?";
  #host = "localhost";

  /** @param refusal why it gets no link: clients tell that of a link sooner and better than that of a connection */
  constructor(socket: Socket, server: WireServer, refusal: WireError | undefined, onWriting: () => void, onClosed: (end: ConnectionEnd) => void) {
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    this.#socket = socket;
    this.#server = server;
    this.#peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const sasl: ServerOptions["sasl"] = {
      mechanisms,
      authenticate: ({ mechanism, response }, decide) => decide(server.login(this, mechanism, response)),
      optional: true,
    };
    this.#connection = openServer(
      socket,
      { ...options, sasl },
      {
        onOpen: (_connection, remote) => {
          this.#containerId = remote.containerId;
          if (remote.hostname !== undefined && remote.hostname !== "") this.#host = remote.hostname;
        },
        onWriting,
        onSession: () => ({
          onAttach: (request, session) => {
            if (refusal === undefined) answerAttach(server, this, session, request);
            else request.refuse(server.tell(refusal, this, addressOf(request)));
          },
        }),
        onClosed: (_connection, end) => {
          server.closed(this);
          onClosed(end);
          closed.resolve();
        },
      },
    );
  }

  get name(): string {
    return `${this.#containerId} at ${this.#peer}`;
  }

  get host(): string {
    return this.#host;
  }

  close(error: WireError): void {
    this.#connection.close(this.#server.tell(error, this, undefined));
  }

  cut(): void {
    this.#socket.destroy();
  }
}

/** What an operator should know of a connection's end; undefined for the ends that belong to every day. */
export function describeTrouble({ by, error, cause }: ConnectionEnd): string | undefined {
  if (by === "local" || by === "peer" || by === "socket") return undefined;
  if (by === "silence" && error === undefined)
    return `the connection ended by silence: nothing was heard of its client for ${(2 * idleTimeOutMs) / 1_000} s; it was frozen, or the way to it is broken`;
  const why = error?.description ?? (cause instanceof Error ? cause.stack : undefined);
  return ["the connection ended by", `${by}:`, error?.condition, why].filter((part) => part !== undefined).join(" ");
}
