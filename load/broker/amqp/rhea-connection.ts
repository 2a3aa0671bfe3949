// One connection: a rhea connection that believes it has a socket to itself, and the sessions that we run in its place.
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type { Attach, WireConnection, WireError, WireServer } from "../protocol/wire.ts";
import { OutputBuffer } from "./output-buffer.ts";
import type { RheaAttach, RheaConnection, RheaFrame, RheaLink, RheaSession, RheaTerminus } from "./rhea-internals.ts";
import { IncomingLink, OutgoingLink } from "./rhea-link.ts";
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

const rhea = createRequire(import.meta.url)("rhea") as { create_container(options: object): RheaContainer };

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
    const decision = this.#server.attach(attach.role ? "receiver" : "sender", this.#wishOf(session, attach));
    if (decision.kind === "refuse") {
      link.close({ ...decision.error });
      return;
    }
    local.attach.source = attach.source?.described();
    local.attach.target = attach.target?.described();
    if (decision.kind === "send") {
      const outgoing = new OutgoingLink(link, engine, this, () => this.#congested);
      this.#join(engine, link, attach.handle, outgoing);
      outgoing.serve(decision.start(outgoing));
    } else {
      local.attach.max_message_size = decision.messageBytesMax;
      const incoming = new IncomingLink(link, engine, decision.credit, decision.messageBytesMax);
      this.#join(engine, link, attach.handle, incoming);
      incoming.serve(decision.start(incoming));
    }
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
