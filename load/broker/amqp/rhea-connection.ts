// One connection: a rhea connection that believes it has a socket to itself, and the sessions that we run in its place.
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type { Attach, AttachDecision, AttachDetails, WireConnection, WireError, WireServer } from "../protocol/wire.ts";
import { OutputBuffer } from "./output-buffer.ts";
import type { RheaAttach, RheaConnection, RheaFrame, RheaLink, RheaSession, RheaTerminus } from "./rhea-internals.ts";
import { AwaitingLink, IncomingLink, OutgoingLink } from "./rhea-link.ts";
import { SessionEngine } from "./rhea-session.ts";

interface SaslMechanism {
  outcome: boolean | undefined;
  username: string | undefined;
  start(): void;
}

interface RheaContainer {
  readonly sasl_server_mechanisms: Record<string, () => SaslMechanism>;
  on(event: string, listener: (context: unknown) => void): void;
  create_connection(options: object): RheaConnection;
}

const rhea = createRequire(import.meta.url)("rhea") as { create_container(options: object): RheaContainer; types: { wrap_long(value: Buffer): unknown } };

/** A peer's wish for a link, while it is decided. */
interface Wish {
  readonly session: RheaSession;
  readonly engine: SessionEngine;
  readonly link: RheaLink;
  readonly attach: RheaAttach;
}

/** The largest frame that we take and send: what the real service has. */
const frameBytesMax = 65_536;
/** How long a peer may be silent, in milliseconds; rhea closes after twice as long. */
const idleTimeOutMs = 120_000;
/** Bytes that may wait in a socket before its links are given no more messages. */
const unsentBytesMax = 4 * 1024 * 1024;

/** The mechanisms that clients use: who a client is, its tokens say. */
const mechanisms = ["ANONYMOUS", "PLAIN", "MSSBCBS", "EXTERNAL"];

/** What all connections of a broker share. */
export class RheaEngine {
  readonly #container: RheaContainer;
  readonly #server: WireServer;
  readonly #connections = new Set<EngineConnection>();

  constructor(server: WireServer, log: (message: string) => void) {
    this.#server = server;
    this.#container = rhea.create_container({ id: "holdfast-broker" });
    for (const name of mechanisms) {
      this.#container.sasl_server_mechanisms[name] = (): SaslMechanism => ({
        outcome: undefined,
        username: undefined,
        start(): void {
          this.outcome = true;
        },
      });
    }
    // Without a listener rhea throws or prints these. All of them end with the socket, which we watch ourselves.
    const troubles = ["error", "protocol_error", "connection_error", "session_error", "sender_error", "receiver_error"];
    for (const event of troubles) this.#container.on(event, (context) => log(`${event}: ${describe(context)}`));
    this.#container.on("disconnected", () => undefined);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Serves AMQP on a socket whose first bytes are `head`. */
  accept(socket: Socket, head: Buffer): void {
    const connection = this.#container.create_connection({ max_frame_size: frameBytesMax, idle_time_out: idleTimeOutMs, channel_max: 1023 });
    const engine = new EngineConnection(socket, connection, this.#server);
    this.#connections.add(engine);
    socket.once("close", () => this.#connections.delete(engine));
    engine.start(head);
  }

  /** Closes all connections and resolves when their sockets are gone. */
  async stop(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.stop()));
  }
}

function describe(context: unknown): string {
  if (context instanceof Error) return context.message;
  const error = (context as { error?: unknown } | undefined)?.error;
  return error instanceof Error ? error.message : JSON.stringify(error ?? null);
}

class EngineConnection implements WireConnection {
  readonly #socket: Socket;
  readonly #connection: RheaConnection;
  readonly #server: WireServer;
  readonly #output: OutputBuffer;
  readonly #sessions = new Set<SessionEngine>();
  readonly #peer: string;
  #attachNumber = 0;
  #closed = false;

  constructor(socket: Socket, connection: RheaConnection, server: WireServer) {
    this.#socket = socket;
    this.#connection = connection;
    this.#server = server;
    this.#peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#output = new OutputBuffer(socket, () => {
      for (const session of this.#sessions) session.flushAnswers();
    });
    this.#takeOver();
  }

  get name(): string {
    return `${this.#connection.remote.open?.container_id ?? "?"} at ${this.#peer}`;
  }

  start(head: Buffer): void {
    this.#connection.accept(this.#socketStandIn());
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (bytes: Buffer) => this.#input(bytes));
    this.#socket.on("drain", () => this.#announce());
    this.#socket.on("error", () => undefined);
    this.#socket.once("close", () => {
      this.#end();
      this.#connection.eof();
    });
    this.#input(head);
    this.#socket.resume();
  }

  #input(bytes: Buffer): void {
    this.#connection.input(bytes);
    // rhea would collect a frame of any size that a peer announces.
    if ((this.#connection.frame_size ?? 0) > frameBytesMax) this.#socket.destroy();
  }

  close(error: WireError): void {
    this.#end();
    this.#connection.close({ ...error });
  }

  stop(): Promise<void> {
    this.#end();
    if (this.#socket.closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }

  /** Ends all links. The socket may still be writing. */
  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const session of this.#sessions) session.closeLinks();
    this.#sessions.clear();
  }

  get #congested(): boolean {
    return this.#output.pendingBytes > unsentBytesMax;
  }

  #announce(): void {
    for (const session of this.#sessions) session.announce();
  }

  /** What rhea writes goes through the same output as our own frames, so that their order holds. */
  #socketStandIn(): object {
    const socket = this.#socket;
    return {
      localAddress: socket.localAddress,
      localPort: socket.localPort,
      remoteAddress: socket.remoteAddress,
      remotePort: socket.remotePort,
      on: (): void => undefined,
      write: (bytes: Buffer): void => this.#output.append(bytes),
      end: (): void => {
        this.#output.flush();
        socket.end();
      },
      destroy: (): void => {
        socket.destroy();
      },
    };
  }

  #takeOver(): void {
    const connection = this.#connection;
    const createSession = connection.create_session.bind(connection);
    connection.create_session = (size): RheaSession => {
      const session = createSession(size);
      const engine = new SessionEngine(session, this.#output, () => Math.min(frameBytesMax, connection.max_frame_size ?? frameBytesMax));
      this.#sessions.add(engine);
      session.on_attach = (frame): void => this.#onAttach(session, engine, frame);
      const onEnd = session.on_end.bind(session);
      session.on_end = (frame): void => {
        engine.closeLinks();
        this.#sessions.delete(engine);
        onEnd(frame);
      };
      return session;
    };
    const onClose = connection.on_close.bind(connection);
    connection.on_close = (frame): void => {
      this.#end();
      onClose(frame);
    };
  }

  #onAttach(session: RheaSession, engine: SessionEngine, frame: RheaFrame<RheaAttach>): void {
    const attach = frame.performative;
    const link = this.#createLink(session, attach);
    session.remote.handles[attach.handle] = link;
    link.on_attach(frame);
    const { local } = link;
    local.attach.snd_settle_mode = attach.snd_settle_mode ?? 2;
    // Some senders wait for ever unless the broker settles first, whatever they asked for.
    local.attach.rcv_settle_mode = attach.role ? (attach.rcv_settle_mode ?? 0) : 0;
    this.#decide({ session, engine, link, attach }, this.#server.attach(attach.role ? "receiver" : "sender", this.#wishOf(session, attach)));
  }

  #decide(wish: Wish, decision: AttachDecision): void {
    const { engine, link, attach } = wish;
    const { local } = link;
    if (decision.kind === "later") {
      this.#postpone(wish, decision.start);
      return;
    }
    if (decision.kind === "refuse") {
      link.close({ ...decision.error });
      return;
    }
    if (decision.kind === "send") {
      writeDetails(local.attach, attach, decision.details);
      const outgoing = new OutgoingLink(link, engine, this, () => this.#congested);
      this.#join(engine, link, attach.handle, outgoing);
      outgoing.serve(decision.start(outgoing));
    } else {
      writeDetails(local.attach, attach, undefined);
      local.attach.max_message_size = decision.messageBytesMax;
      const incoming = new IncomingLink(link, engine, decision.credit, decision.messageBytesMax);
      this.#join(engine, link, attach.handle, incoming);
      incoming.serve(decision.start(incoming));
    }
  }

  /** Holds our attach back until it is decided. rhea has queued it already: that is undone. */
  #postpone(wish: Wish, start: (decide: (decision: AttachDecision) => void) => () => void): void {
    const { session, engine, link, attach } = wish;
    link.state.local_open = false;
    link.state.open_requests--;
    const awaiting = new AwaitingLink(() => giveUp());
    engine.add(attach.handle, awaiting);
    const onDetach = link.on_detach.bind(link);
    const settle = (): void => {
      link.on_detach = onDetach;
      engine.remove(awaiting);
    };
    link.on_detach = (frame): void => {
      settle();
      giveUp();
      link.open();
      onDetach(frame);
    };
    const giveUp = start((decision) => {
      settle();
      if (session.remote.handles[attach.handle] !== link) return;
      link.open();
      this.#decide(wish, decision);
      if (awaiting.grant !== undefined) engine.grant(attach.handle, awaiting.grant);
      this.#output.schedule();
    });
  }

  /** A rhea link under a key of its own: rhea's key is the name alone, and a peer may use one name in both directions. */
  #createLink(session: RheaSession, attach: RheaAttach): RheaLink {
    const { name } = attach;
    const link = attach.role ? session.create_sender(name, {}) : session.create_receiver(name, { credit_window: 0, autoaccept: false, autosettle: false });
    const key = `${++this.#attachNumber}:${name}`;
    delete session.links[name];
    session.links[key] = link;
    link.remove = (): void => {
      delete session.links[key];
      delete session.local.handles[link.local.handle];
      if (session.remote.handles[attach.handle] === link) delete session.remote.handles[attach.handle];
    };
    return link;
  }

  #wishOf(session: RheaSession, attach: RheaAttach): Attach {
    const source = addressOf(attach.source);
    const target = addressOf(attach.target);
    return {
      connection: this,
      session,
      name: attach.name,
      address: attach.role ? source : target,
      peerAddress: attach.role ? target : source,
      presettled: attach.snd_settle_mode === 1,
      filters: textsOf(attach.source?.filter),
      properties: plainOf(attach.properties),
    };
  }

  #join(engine: SessionEngine, link: RheaLink, remoteHandle: number, ours: OutgoingLink | IncomingLink): void {
    engine.add(remoteHandle, ours);
    const onDetach = link.on_detach.bind(link);
    link.on_detach = (frame): void => {
      ours.closed();
      onDetach(frame);
    };
    const process = link._process.bind(link);
    link._process = (): void => {
      link._process = process;
      process();
      ours.attached();
    };
  }
}

function addressOf(terminus: RheaTerminus | null | undefined): string | undefined {
  return typeof terminus?.address === "string" ? terminus.address : undefined;
}

/** The filters that are text or null. */
function textsOf(filter: Readonly<Record<string, unknown>> | null | undefined): Map<string, string | null> {
  const texts = new Map<string, string | null>();
  for (const [name, value] of Object.entries(filter ?? {})) {
    if (typeof value === "string") texts.set(name, value);
    else if (value === null || value === undefined) texts.set(name, null);
  }
  return texts;
}

function plainOf(properties: Readonly<Record<string, unknown>> | null | undefined): Map<string, string | number | boolean> {
  const plain = new Map<string, string | number | boolean>();
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") plain.set(name, value);
  }
  return plain;
}

/** Our termini are the peer's, but for the filters that were decided. */
function writeDetails(local: RheaLink["local"]["attach"], attach: RheaAttach, details: AttachDetails | undefined): void {
  const { source } = attach;
  if (details !== undefined && source !== undefined && source !== null) source.filter = { ...source.filter, ...Object.fromEntries(details.filters) };
  local.source = source?.described();
  local.target = attach.target?.described();
  if (details === undefined) return;
  local.properties = Object.fromEntries([...details.properties].map(([name, value]) => [name, rhea.types.wrap_long(bytesOf(value))]));
}

function bytesOf(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}
