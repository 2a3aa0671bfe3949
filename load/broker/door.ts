// The one port: a connection's first byte says whether it speaks AMQP, TLS or HTTP. Under TLS the question is asked again.
import type { Server as HttpServer } from "node:http";
import type { Socket } from "node:net";
import type { Server as TlsServer } from "node:tls";
import type { AmqpServer } from "./amqp/server.ts";
import type { Certificate } from "./security/certificate.ts";

/** How long a connection may take to say its first byte. */
const firstByteTimeOutMs = 30_000;
const amqpFirstByte = 0x41;
const tlsFirstByte = 0x16;

export class Door {
  readonly #amqp: AmqpServer;
  readonly #http: HttpServer;
  readonly #certificate: () => Promise<Certificate>;
  readonly #log: (message: string) => void;
  #tls: Promise<TlsServer> | undefined;

  constructor(amqp: AmqpServer, http: HttpServer, certificate: () => Promise<Certificate>, log: (message: string) => void) {
    this.#amqp = amqp;
    this.#http = http;
    this.#certificate = certificate;
    this.#log = log;
  }

  /** Waits for a connection's first byte and hands it to whom it is for. */
  greet(socket: Socket, isSecure = false): void {
    const onError = (): void => {
      socket.destroy();
    };
    socket.on("error", onError);
    socket.setTimeout(firstByteTimeOutMs, onError);
    socket.once("data", (head: Buffer) => {
      socket.setTimeout(0);
      socket.pause();
      if (head[0] === amqpFirstByte) this.#amqp.accept(socket, head);
      else if (head[0] === tlsFirstByte && !isSecure) void this.#secure(socket, head);
      else {
        socket.removeListener("error", onError);
        socket.unshift(head);
        this.#http.emit("connection", socket);
        socket.resume();
      }
    });
  }

  async #secure(socket: Socket, head: Buffer): Promise<void> {
    try {
      const tls = await (this.#tls ??= this.#startTls());
      socket.unshift(head);
      tls.emit("connection", socket);
    } catch (error) {
      this.#tls = undefined;
      this.#log(`TLS: ${error instanceof Error ? error.message : String(error)}`);
      socket.destroy();
    }
  }

  async #startTls(): Promise<TlsServer> {
    const [{ createServer }, { cert, key }] = await Promise.all([import("node:tls"), this.#certificate()]);
    const server = createServer({ cert, key, handshakeTimeout: firstByteTimeOutMs });
    server.on("secureConnection", (socket) => {
      socket.setNoDelay(true);
      this.greet(socket, true);
    });
    server.on("tlsClientError", (error, socket) => {
      this.#log(`TLS: ${error.message}`);
      socket.destroy();
    });
    return server;
  }
}
