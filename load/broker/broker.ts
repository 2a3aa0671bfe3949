// A local Service Bus: entities in memory, AMQP for clients and HTTP for whoever wants to look, on one port by first byte.
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { isAdministration, serveAdministration } from "./administration/http.ts";
import { AmqpServer } from "./amqp/server.ts";
import { LockTokens } from "./codec/lock-token.ts";
import { controlHandler } from "./control/http.ts";
import type { Clock } from "./entities/clock.ts";
import { readEntities } from "./entities/config.ts";
import { Namespace } from "./entities/namespace.ts";
import { type BrokerInspection, inspectMessages, inspectNamespace, inspectOutcomes, type MessagePage, type PageRequest } from "./inspection.ts";
import { Faults } from "./protocol/faults.ts";
import { strikeAll } from "./protocol/strike-all.ts";
import { OpenLinks } from "./protocol/open-links.ts";
import { Router } from "./protocol/router.ts";
import { systemClock } from "./system-clock.ts";

export interface BrokerOptions {
  /** Port for AMQP, and for HTTP by first byte. Default: 0, a free one. */
  readonly port?: number;
  /** Address to listen on. Default: 127.0.0.1. */
  readonly host?: string;
  /** A second port for HTTP alone; 0 = a free one. Default: none. */
  readonly controlPort?: number;
  /** The entities; see `readEntities` for the two forms. Default: none. */
  readonly entities?: unknown;
  /** Hold the vendor's form of the entities to the bounds of the vendor's emulator. Default: false. */
  readonly strict?: boolean;
  /** Keep every message id's outcomes; costs memory for each message that ever passed. Default: false. */
  readonly record?: boolean;
  /** Time. Default: the system's. */
  readonly clock?: Clock;
  /** Told of trouble that an operator should know. Default: nobody. */
  readonly log?: (message: string) => void;
}

export interface Broker {
  readonly port: number;
  readonly host: string;
  /** The port of the control endpoint: the one asked for, or else `port`. */
  readonly controlPort: number;
  readonly connectionString: string;
  /** What every entity holds and ever did. */
  inspect(): BrokerInspection;
  /** A page of an entity's messages; undefined when there is no such queue, subscription or sub-queue. */
  inspectMessages(path: string, request?: PageRequest): MessagePage | undefined;
  /** With `record`: every message id's outcomes in an entity, in order. */
  outcomes(path: string): ReadonlyMap<string, readonly string[]> | undefined;
  /** What is to go wrong on purpose. */
  readonly faults: Faults;
  /** Cuts all connections and forgets all messages. Can be called again. */
  stop(): Promise<void>;
}

/** The key of the vendor's emulator, which its connection strings carry. */
const emulatorKey = "SAS_KEY_VALUE";
/** How long a connection may take to say its first byte. */
const firstByteTimeOutMs = 30_000;
const amqpFirstByte = 0x41;

/** @throws BrokerConfigError when the entities cannot be used */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const host = options.host ?? "127.0.0.1";
  const log = options.log ?? ((): void => undefined);
  const namespace = new Namespace(readEntities(options.entities ?? {}, options.strict ?? false), { clock: options.clock ?? systemClock, record: options.record ?? false });
  const links = new OpenLinks();
  const faults = new Faults(options.clock ?? systemClock);
  faults.immediate = (kind, matches): number => strikeAll(kind, matches, namespace, links);
  const router = new Router(namespace, { tokens: new LockTokens(randomBytes(8)), newMessageId: () => randomUUID().replaceAll("-", ""), links, faults, nowMs: () => namespace.nowMs });
  const amqp = new AmqpServer(router, log);
  const inspectable = {
    inspect: (): BrokerInspection => inspectNamespace(namespace, amqp.connectionCount),
    inspectMessages: (path: string, request?: PageRequest): MessagePage | undefined => inspectMessages(namespace, path, request),
    faults,
    outcomes: (path: string): ReadonlyMap<string, readonly string[]> | undefined => inspectOutcomes(namespace, path),
  };
  const control = controlHandler(inspectable);
  const http = createHttpServer((request, response) => {
    if (isAdministration(request)) serveAdministration({ namespace, links }, request, response);
    else control(request, response);
  });
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    greet(socket, amqp, http);
  });
  await listen(server, options.port ?? 0, host);
  if (options.controlPort !== undefined) {
    await listen(http, options.controlPort, host).catch((error: unknown) => {
      server.close();
      throw error;
    });
  }
  const port = portOf(server);
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const closed = Promise.all([close(server), http.listening ? close(http) : undefined]);
    await amqp.stop();
    http.closeAllConnections();
    for (const socket of sockets) socket.destroy();
    await closed;
    faults.clear();
    namespace.stop();
  };
  return {
    ...inspectable,
    port,
    host,
    controlPort: options.controlPort === undefined ? port : portOf(http),
    connectionString: `Endpoint=sb://${host === "0.0.0.0" || host === "::" ? "localhost" : host}:${port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=${emulatorKey};UseDevelopmentEmulator=true`,
    stop: () => (stopping ??= stop()),
  };
}

/** Waits for a connection's first byte and hands it to whom it is for. */
function greet(socket: Socket, amqp: AmqpServer, http: HttpServer): void {
  const onError = (): void => {
    socket.destroy();
  };
  socket.on("error", onError);
  socket.setTimeout(firstByteTimeOutMs, onError);
  socket.once("data", (head: Buffer) => {
    socket.setTimeout(0);
    socket.pause();
    if (head[0] === amqpFirstByte) {
      amqp.accept(socket, head);
      return;
    }
    socket.removeListener("error", onError);
    socket.unshift(head);
    http.emit("connection", socket);
    socket.resume();
  });
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host);
  await once(server, "listening");
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
