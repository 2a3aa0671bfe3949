// A local Service Bus: entities in memory, AMQP for clients and HTTP for whoever wants to look, on one port by first byte.
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { checkHost, connectionStrings } from "./address.ts";
import { AmqpServer } from "./amqp/server.ts";
import { LockTokens } from "./codec/lock-token.ts";
import { controlHandler } from "./control/http.ts";
import type { Clock } from "./entities/clock.ts";
import type { StateCounts } from "./entities/counters.ts";
import { readEntities } from "./entities/config.ts";
import { Namespace } from "./entities/namespace.ts";
import { boundingOf, checkBounds } from "./entities/setting-bounds.ts";
import { type BrokerInspection, inspectMessages, inspectNamespace, inspectOutcomes, inspectStates, type MessagePage, type PageRequest } from "./inspection.ts";
import { Faults } from "./protocol/faults.ts";
import { strikeAll } from "./protocol/strike-all.ts";
import { Access } from "./protocol/access.ts";
import type { Journal, JournalOptions } from "./journal/journal.ts";
import type { EntityJournal } from "./entities/message-store.ts";
import { OpenLinks } from "./protocol/open-links.ts";
import type { ProtocolContext } from "./protocol/context.ts";
import { Router } from "./protocol/router.ts";
import { Tracking } from "./protocol/tracking.ts";
import { Door } from "./door.ts";
import { createHttpServer } from "./http-server.ts";
import type { Certificate } from "./security/certificate.ts";
import type { AccessKey } from "./security/keys.ts";
import { TokenVerifier } from "./security/tokens.ts";
import { systemClock } from "./system-clock.ts";

/** What `startBroker` takes. All of it has defaults. */
export interface BrokerOptions {
  /** Port for AMQP, and for HTTP by first byte. Default: 0, a free one. */
  readonly port?: number;
  /** Address to listen on. Default: 127.0.0.1. */
  readonly host?: string;
  /** A second port for HTTP alone; 0 = a free one. Default: none. */
  readonly controlPort?: number;
  /** The entities; see `readEntities` for the two forms. Default: none. */
  readonly entities?: unknown;
  /** Hold entities and clients to the bounds of the vendor's emulator. Default: false, those of Azure hold. */
  readonly strict?: boolean;
  /** Lift the bounds that Azure has for settings, for tests and development. Default: false. */
  readonly relaxed?: boolean;
  /** Keep every message id's outcomes; costs memory for each message that ever passed. Default: false. */
  readonly record?: boolean;
  /** Who is let in. Default: the emulator's key, and whoever shows none. */
  readonly keys?: readonly AccessKey[];
  /** For TLS, which is distinguished from the rest by its first byte. Default: one that is made when the first client wants it. */
  readonly tls?: Certificate;
  /** A folder that keeps messages over a restart. Default: none, they are held in memory alone. */
  readonly data?: string;
  /** How the file in `data` is written. */
  readonly journal?: JournalOptions;
  /** Time. Default: the system's. */
  readonly clock?: Clock;
  /** Told of trouble that an operator should know. Default: nobody. */
  readonly log?: (message: string) => void;
}

/** A local Service Bus in this process. Made by `startBroker`. */
export interface Broker {
  readonly port: number;
  readonly host: string;
  /** The port of the control endpoint: the one asked for, or else `port`. */
  readonly controlPort: number;
  readonly connectionString: string;
  /** The same, without its key when it is a configured one. */
  readonly connectionStringShown: string;
  /** The certificate for TLS, PEM, for clients that are to trust it. */
  certificate(): Promise<string>;
  /** What every entity holds and ever did. */
  inspect(): BrokerInspection;
  /** How many messages an entity has in which state; undefined when there is no such queue, subscription or sub-queue. */
  states(path: string): StateCounts | undefined;
  /** A page of an entity's messages; undefined when there is no such queue, subscription or sub-queue. */
  inspectMessages(path: string, request?: PageRequest): MessagePage | undefined;
  /** With `record`: every message id's outcomes in an entity, in order. */
  outcomes(path: string): ReadonlyMap<string, readonly string[]> | undefined;
  /** What is to go wrong on purpose. */
  readonly faults: Faults;
  /** Cuts all connections and, without `data`, forgets all messages. Can be called again. */
  stop(): Promise<void>;
}

/** @throws BrokerConfigError when the entities cannot be used, BrokerHostError, and what a journal throws */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const host = options.host ?? "127.0.0.1";
  checkHost(host, options.keys);
  const log = options.log ?? ((): void => undefined);
  const { namespace, journal } = await openNamespace(options, log);
  const links = new OpenLinks();
  const faults = new Faults(options.clock ?? systemClock);
  faults.immediate = (kind, matches): number => strikeAll(kind, matches, namespace, links);
  const verifier = new TokenVerifier(options.keys, () => systemClock.now());
  const access = new Access(verifier, links, systemClock);
  const tracking = new Tracking(randomUUID, () => systemClock.now());
  const router = routerOf(namespace, journal, { links, access, faults, tracking });
  namespace.onIdleDeleted = (path): void => {
    links.closeGone(path);
    journal?.onChange(path);
  };
  const amqp = new AmqpServer(router, log, namespace.bounds.connectionsMax, () => journal?.flush());
  if (journal !== undefined) journal.onTrouble = (): void => amqp.cut();
  const certificate = madeOnce(() => certificateOf(options, host));
  const inspectable = { ...viewsOf(namespace, amqp), faults, certificate: async (): Promise<string> => (await certificate()).cert };
  const http = createHttpServer(
    { namespace, links, verifier, tracking, onChange: (gone) => journal?.confirmChange(gone) },
    controlHandler(inspectable, verifier),
  );
  const door = new Door(amqp, http, certificate, log);
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    door.greet(socket);
  });
  try {
    await listen(server, options.port ?? 0, host);
    if (options.controlPort !== undefined) await listen(http, options.controlPort, host);
  } catch (error) {
    server.close();
    namespace.stop();
    journal?.close();
    throw error;
  }
  const port = portOf(server);
  const { plain, shown } = connectionStrings(host, port, options.keys);
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const closed = Promise.all([close(server), http.listening ? close(http) : undefined]);
    await amqp.stop();
    http.closeAllConnections();
    for (const socket of sockets) socket.destroy();
    await closed;
    faults.clear();
    access.stop();
    namespace.stop();
    journal?.close();
  };
  return {
    ...inspectable,
    port,
    host,
    controlPort: options.controlPort === undefined ? port : portOf(http),
    connectionString: plain,
    connectionStringShown: shown,
    stop: () => (stopping ??= stop()),
  };
}

/** What is seen of it from outside. */
function viewsOf(namespace: Namespace, amqp: AmqpServer): Pick<Broker, "inspect" | "states" | "inspectMessages" | "outcomes"> {
  return {
    inspect: () => inspectNamespace(namespace, amqp.connectionCount),
    states: (path) => inspectStates(namespace, path),
    inspectMessages: (path, request) => inspectMessages(namespace, path, request),
    outcomes: (path) => inspectOutcomes(namespace, path),
  };
}

/** Asked again, it answers with what the first call made. */
function madeOnce<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function routerOf(namespace: Namespace, journal: Journal | undefined, parts: Pick<ProtocolContext, "links" | "access" | "faults" | "tracking">): Router {
  return new Router(namespace, {
    ...parts,
    tokens: new LockTokens(randomBytes(8)),
    newMessageId: () => randomUUID().replaceAll("-", ""),
    trouble: () => journal?.trouble,
    onDefinitions: () => journal?.onDefinitions(),
    ruleTrouble: (path, rule) => namespace.ruleTrouble(path, rule),
    nowMs: () => namespace.nowMs,
  });
}

/** The entities, with what was kept of them. What keeps them is loaded only for those who want it. */
async function openNamespace(
  options: BrokerOptions,
  log: (message: string) => void,
): Promise<{ readonly namespace: Namespace; readonly journal: Journal | undefined }> {
  const bounding = boundingOf(options);
  const entities = readEntities(options.entities ?? {});
  checkBounds(entities, bounding);
  const common = { clock: options.clock ?? systemClock, record: options.record ?? false, bounding };
  if (options.data === undefined) return { namespace: new Namespace(entities, common), journal: undefined };
  const [{ Journal }, { mergeEntities }, { restore, startKeeping }] = await Promise.all([
    import("./journal/journal.ts"),
    import("./journal/merge.ts"),
    import("./journal/restore.ts"),
  ]);
  const journal = new Journal(options.data, options.journal ?? {}, log);
  const kept = journal.read();
  const merged = mergeEntities(entities, kept.definitions);
  try {
    checkBounds(merged, bounding);
  } catch (error) {
    journal.close();
    throw error;
  }
  const namespace = new Namespace(merged, { ...common, journalOf: (path: string): EntityJournal => journal.entity(path) });
  restore(namespace, kept);
  startKeeping(journal, namespace, entities);
  return { namespace, journal };
}

/** What makes certificates is loaded when one is wanted: few clients do. */
async function certificateOf({ tls, data }: BrokerOptions, host: string): Promise<Certificate> {
  if (tls !== undefined) return tls;
  const { keptCertificate, makeCertificate } = await import("./security/certificate.ts");
  return data === undefined ? makeCertificate(host) : keptCertificate(data, host);
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
