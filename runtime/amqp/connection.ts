// A connection: protocol headers, SASL, open and close, and the loop that hands each frame to its session (part 2, 2.2 to
// 2.4; part 5, 5.3). The same class is the client's side and the server's.
//
//   client:  sasl ──outcome ok──▶ header ──peer's header──▶ opening ──peer's open──▶ open ──▶ closing ──▶ closed
//            (its open goes out with its header, before the peer's have come)
//   server:  the same, but sasl may be left out when it is optional, and its own header and open answer the peer's
//
//   close(), or a violation by the peer      →  closing: our close is out, all but the peer's close is dropped (DISCARDING)
//   the peer's close                         →  answered, then closed
//   bytes that are no frames, a lost socket, silence, a time-out in between  →  closed
//
// What comes in is handled as it is read, in plain callbacks. What goes out is collected and written tick by tick: see
// egress.ts.
import type { Duplex } from "node:stream";
import { Channels } from "./channels.ts";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { readErrorField } from "./condition.ts";
import type { ErrorCondition } from "./condition.ts";
import { closeTimeOutMsDefault, openTimeOutMsDefault } from "./connection-options.ts";
import type { ClientOptions, ConnectionEnd, ServerOptions } from "./connection-options.ts";
import { describedValueAt, descriptor, descriptorAt } from "./descriptors.ts";
import { Egress } from "./egress.ts";
import { ProtocolError, conditions } from "./errors.ts";
import { FieldReader } from "./fields.ts";
import { FrameReader, frameType, protocolHeader, protocolId } from "./frames.ts";
import type { FrameHandler, ProtocolHeader } from "./frames.ts";
import { IdleWatch } from "./idle.ts";
import { frameBytesMin, resolveLimits } from "./limits.ts";
import type { Limits } from "./limits.ts";
import type { Output } from "./output.ts";
import { encodeClose, encodeOpen, readBegin, readOpen } from "./performatives.ts";
import type { Open } from "./performatives.ts";
import type { Receiver } from "./receiver.ts";
import { SaslClient, SaslServer } from "./sasl.ts";
import type { SaslExchange, SaslHost, SaslProgress } from "./sasl.ts";
import { Session } from "./session.ts";
import type { SessionEvents, SessionHost, SessionOptions } from "./session.ts";
import { SessionFrames } from "./session-frames.ts";

export type ConnectionState =
  | { readonly at: "sasl"; readonly exchange: SaslExchange }
  | { readonly at: "header" }
  | { readonly at: "opening" }
  | { readonly at: "open"; readonly remote: Open }
  | { readonly at: "closing"; readonly end: ConnectionEnd }
  | { readonly at: "closed"; readonly end: ConnectionEnd };

/** Plain callbacks. One that throws ends the connection. */
export interface ConnectionEvents {
  /** The peer's open has come: sessions can be begun. */
  onOpen?(connection: Connection, remote: Open): void;
  /** The peer begins a session: return what hears of it. Without this, it is ended at once. */
  onSession?(session: Session, connection: Connection): SessionEvents;
  /** The connection is over, and so are its sessions. Called once. */
  onClosed?(connection: Connection, end: ConnectionEnd): void;
}

type Side = { readonly role: "client"; readonly options: ClientOptions } | { readonly role: "server"; readonly options: ServerOptions };

const noSessions: ErrorCondition = { condition: conditions.notAllowed, description: "no sessions are accepted on this connection" };

/** The client's side on a socket that is connected or connecting. */
export function openClient(socket: Duplex, options: ClientOptions, events: ConnectionEvents): Connection {
  return new Connection(socket, { role: "client", options }, events);
}

/** The server's side on a socket that was accepted. */
export function openServer(socket: Duplex, options: ServerOptions, events: ConnectionEvents): Connection {
  return new Connection(socket, { role: "server", options }, events);
}

export class Connection implements FrameHandler, SessionHost, SaslHost {
  readonly output: Output;
  readonly limits: Limits;
  state: ConnectionState;
  readonly #socket: Duplex;
  readonly #side: Side;
  readonly #events: ConnectionEvents;
  readonly #clock: Clock;
  readonly #reader: FrameReader;
  readonly #egress: Egress;
  #idle: IdleWatch | undefined;
  #cancelDeadline: (() => void) | undefined;
  #openSent = false;

  readonly #channels: Channels<Session> = new Channels();

  #partialBytes = 0;
  #batch: Receiver[] = [];

  readonly #fields = new FieldReader();
  readonly #frames = new SessionFrames();

  constructor(socket: Duplex, side: Side, events: ConnectionEvents) {
    this.limits = resolveLimits(side.options.limits);
    this.#socket = socket;
    this.#side = side;
    this.#events = events;
    this.#clock = side.options.clock ?? systemClock;
    this.#reader = new FrameReader(this, this.limits.saslFrameBytesMax);
    this.#egress = new Egress(socket, this.limits, {
      guard: (run) => this.#guard(run),
      onWritten: () => this.#idle?.noteWritten(),
      onOverflow: (bytes) => this.#finish({ by: "violation", error: { condition: conditions.resourceLimitExceeded, description: `expected the peer to read; ${bytes} bytes wait for it` } }),
    });
    this.output = this.#egress.output;
    this.state = side.options.sasl === undefined ? { at: "header" } : { at: "sasl", exchange: this.#makeExchange(side) };
    if (side.role === "client") {
      if (this.state.at === "sasl") this.output.raw(protocolHeader(protocolId.sasl));
      else this.#sendHeaderAndOpen();
      this.requestFlush();
    }
    this.#setDeadline(side.options.openTimeOutMs ?? openTimeOutMsDefault, () => {
      this.#finish({ by: "silence", error: { condition: conditions.resourceLimitExceeded, description: "the connection was not opened in time" } });
    });
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (cause: Error) => this.#finish({ by: "socket", cause }));
    socket.on("end", () => this.#finish({ by: "socket" }));
    socket.on("close", () => this.#finish({ by: "socket" }));
  }

  #makeExchange(side: Side): SaslExchange {
    if (side.role === "server" && side.options.sasl !== undefined) return new SaslServer(this, side.options.sasl);
    if (side.role === "client" && side.options.sasl !== undefined) return new SaslClient(this, side.options.sasl, side.options.hostname);
    throw new TypeError("expected SASL options");
  }

  // For the owner:

  /** The peer's open, while the connection is open. */
  get remote(): Open | undefined {
    return this.state.at === "open" ? this.state.remote : undefined;
  }

  /** Begins a session on an open connection. Links may be opened in it at once. */
  begin(events: SessionEvents, options: SessionOptions = {}): Session {
    if (this.state.at !== "open") throw new Error(`connection: expected it to be open, found it ${this.state.at}`);
    const channel = this.#channels.free;
    if (channel > this.state.remote.channelMax) throw new Error(`connection: expected at most ${this.state.remote.channelMax + 1} sessions, as the peer allows`);
    const session = new Session(this, channel, options, events);
    this.#channels.add(session);
    session.begin(undefined);
    return session;
  }

  /** Ends the connection in order. `onClosed` follows when the peer has answered, or has not in time. */
  close(error?: ErrorCondition): void {
    this.#guard(() => this.#close({ by: "local", error }, error));
  }

  /** Ends the connection at once, without a word to the peer. */
  abort(): void {
    this.#socket.destroy();
    this.#finish({ by: "local" });
  }

  // Opening.

  #sendHeaderAndOpen(): void {
    this.output.raw(protocolHeader(protocolId.amqp));
    this.#sendOpen();
  }

  #sendOpen(): void {
    if (this.#openSent) return;
    this.#openSent = true;
    const { options } = this.#side;
    const body = encodeOpen({
      containerId: options.containerId,
      hostname: options.hostname,
      maxFrameSize: this.limits.frameBytesMax,
      channelMax: this.limits.sessionsMax - 1,
      idleTimeOutMs: options.idleTimeOutMs || undefined,
      properties: options.properties,
      offeredCapabilities: options.offeredCapabilities,
      desiredCapabilities: options.desiredCapabilities,
    });
    this.output.frame(frameType.amqp, 0, body);
    this.requestFlush();
  }

  onHeader(header: ProtocolHeader): void {
    const { state } = this;
    if (state.at === "sasl" && header.supported && header.id === protocolId.sasl) {
      if (this.#side.role === "server") this.output.raw(protocolHeader(protocolId.sasl));
      this.#reader.expect("frame");
      state.exchange.onHeaders();
      return;
    }
    const saslLeftOut = state.at === "sasl" && this.#side.role === "server" && this.#side.options.sasl?.optional === true;
    if ((state.at !== "header" && !saslLeftOut) || !header.supported || header.id !== protocolId.amqp) {
      this.#refuseHeader(header);
      return;
    }
    this.#reader.expect("frame");
    this.#reader.frameBytesMax = this.limits.frameBytesMax;
    this.state = { at: "opening" };
    if (this.#side.role === "server") {
      this.output.raw(protocolHeader(protocolId.amqp));
      this.requestFlush();
    }
  }

  /** A header that is not the one expected is answered with that, and the socket ends (part 2, 2.2). */
  #refuseHeader(header: ProtocolHeader): void {
    const expected = this.state.at === "sasl" ? protocolId.sasl : protocolId.amqp;
    if (this.#side.role === "server") this.output.raw(protocolHeader(expected));
    const found = header.supported ? `protocol ${header.id}` : "another protocol or version";
    const description = `expected the header of AMQP 1.0 ${expected === protocolId.sasl ? "with" : "without"} SASL, found ${found}`;
    this.#finish({ by: "violation", error: { condition: conditions.framingError, description } });
  }

  onSasl(progress: SaslProgress): void {
    if (this.state.at !== "sasl") return;
    switch (progress.at) {
      case "judging":
        this.#reader.hold();
        this.#socket.pause();
        return;
      case "refused":
        this.#finish({ by: "sasl", error: { condition: "amqp:unauthorized-access", description: progress.reason } });
        return;
      case "done":
        this.state = { at: "header" };
        this.#reader.expect("header");
        if (this.#side.role === "client") this.#sendHeaderAndOpen();
        else this.later(() => this.#resumeReading());
    }
  }

  /** The client was let in: goes on with what it sent ahead. */
  #resumeReading(): void {
    this.#read(() => this.#reader.release());
    this.#socket.resume();
  }

  #onOpen(remote: Open): void {
    if (this.state.at !== "opening") throw new ProtocolError(conditions.illegalState, "expected one open");
    if (remote.maxFrameSize < frameBytesMin) throw new ProtocolError(conditions.invalidField, `expected a max-frame-size of at least ${frameBytesMin}, found ${remote.maxFrameSize}`);
    if (remote.idleTimeOutMs > 0 && remote.idleTimeOutMs < this.limits.idleTimeOutMsMin) {
      throw new ProtocolError(conditions.notAllowed, `expected an idle-time-out of at least ${this.limits.idleTimeOutMsMin} ms, found ${remote.idleTimeOutMs}`);
    }
    this.#sendOpen();
    this.output.frameBytesMax = remote.maxFrameSize;
    this.state = { at: "open", remote };
    this.#cancelDeadline?.();
    this.#idle = new IdleWatch(this.#clock, {
      ownMs: this.#side.options.idleTimeOutMs ?? 0,
      peerMs: remote.idleTimeOutMs,
      sendHeartbeat: () => {
        this.output.frame(frameType.amqp, 0, Buffer.alloc(0));
        this.#egress.write();
      },
      onSilence: () => this.#close({ by: "silence" }, { condition: conditions.resourceLimitExceeded, description: "nothing was heard for twice the idle-time-out" }),
    });
    this.#events.onOpen?.(this, remote);
  }

  // Reading.

  #onData(chunk: Buffer): void {
    this.#idle?.noteRead();
    this.#read(() => this.#reader.push(chunk));
  }

  #read(read: () => void): void {
    this.#guard(() => {
      read();
      const batch = this.#batch;
      if (batch.length === 0) return;
      this.#batch = [];
      for (const receiver of batch) receiver.endBatch();
    });
  }

  /** Runs what may throw: a violation closes the connection with its condition, anything else with an internal error. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (error instanceof ProtocolError) {
        const sent = error.toCondition();
        this.#closeAnyhow({ by: "violation", error: sent }, sent);
        // Where the next frame begins is not known any more, so the peer's close would not be seen.
        if (error.code === conditions.framingError) this.#finish({ by: "violation", error: sent });
      } else this.#closeAnyhow({ by: "fault", cause: error }, { condition: conditions.internalError });
    }
  }

  onFrame(type: number, channel: number, bytes: Buffer, start: number, end: number): void {
    const { state } = this;
    if (state.at === "sasl") {
      if (type !== frameType.sasl) throw new ProtocolError(conditions.framingError, `expected a SASL frame, found type ${type}`);
      state.exchange.onFrame(descriptorAt(bytes, start, end), this.#fields.open(bytes, describedValueAt(bytes, start, end), end));
      return;
    }
    if (type !== frameType.amqp) throw new ProtocolError(conditions.framingError, `expected an AMQP frame, found type ${type}`);
    if (start === end) return;
    const code = descriptorAt(bytes, start, end);
    const fields = this.#fields.open(bytes, describedValueAt(bytes, start, end), end);
    if (state.at === "open") this.#onPerformative(code, channel, bytes, fields, end);
    else if (state.at === "opening" && code === descriptor.open) this.#onOpen(readOpen(fields.copied()));
    else if (state.at === "closing" || code === descriptor.close) this.#discard(code, fields);
    else throw new ProtocolError(conditions.illegalState, `expected open as the first frame, found descriptor ${code}`);
  }

  /** While closing, and before open, only a close means anything. */
  #discard(code: number, fields: FieldReader): void {
    if (code === descriptor.close) this.#onClose(readErrorField(fields.copied()));
  }

  #onPerformative(code: number, channel: number, bytes: Buffer, fields: FieldReader, end: number): void {
    if (SessionFrames.includes(code)) {
      const session = this.#session(channel);
      if (session.isOpen) this.#frames.handle(session, code, bytes, fields, end);
      return;
    }
    switch (code) {
      case descriptor.begin:
        this.#onBegin(channel, fields.copied());
        return;
      case descriptor.close:
        this.#onClose(readErrorField(fields.copied()));
        return;
      case descriptor.open:
        throw new ProtocolError(conditions.illegalState, "expected one open");
      case descriptor.end:
        this.#session(channel).onEnd(readErrorField(fields.copied()));
        return;
      default:
        throw new ProtocolError(conditions.notImplemented, `expected a performative, found descriptor ${code}`);
    }
  }

  #session(channel: number): Session {
    const session = this.#channels.remote(channel);
    if (session === undefined) throw new ProtocolError(conditions.notAllowed, `expected the channel of a session, found ${channel}`);
    return session;
  }

  #onBegin(remoteChannel: number, fields: FieldReader): void {
    const remote = readBegin(fields);
    if (remoteChannel >= this.limits.sessionsMax) throw new ProtocolError(conditions.framingError, `expected a channel up to ${this.limits.sessionsMax - 1}, found ${remoteChannel}`);
    if (this.#channels.remote(remoteChannel) !== undefined) throw new ProtocolError(conditions.notAllowed, `expected a channel without a session, found ${remoteChannel}`);
    if (remote.remoteChannel !== undefined) {
      const own = this.#channels.own(remote.remoteChannel);
      if (own === undefined || own.remoteChannel >= 0) throw new ProtocolError(conditions.notAllowed, `expected an answer to a begin, found channel ${remote.remoteChannel}`);
      this.#channels.tie(remoteChannel, own);
      own.onBegin(remoteChannel, remote);
      return;
    }
    this.#acceptSession(remoteChannel, remote);
  }

  #acceptSession(remoteChannel: number, remote: ReturnType<typeof readBegin>): void {
    const channel = this.#channels.free;
    const channelMax = this.state.at === "open" ? this.state.remote.channelMax : 0;
    if (channel > channelMax) throw new ProtocolError(conditions.notAllowed, `expected no more sessions than the peer's own channel-max of ${channelMax} lets us answer`);
    const session = new Session(this, channel, {}, {});
    this.#channels.add(session);
    this.#channels.tie(remoteChannel, session);
    session.begin(remoteChannel);
    session.onBegin(remoteChannel, remote);
    if (this.#events.onSession === undefined) session.end(noSessions);
    else session.events = this.#events.onSession(session, this);
  }

  // For sessions:

  get isBlocked(): boolean {
    return this.#egress.isBlocked;
  }

  requestFlush(session?: Session): void {
    this.#egress.request(session);
  }

  later(task: () => void): void {
    this.#egress.later(task);
  }

  holdPartial(bytes: number): void {
    this.#partialBytes += bytes;
    if (this.#partialBytes > this.limits.partialBytesMax) throw new ProtocolError(conditions.resourceLimitExceeded, `expected at most ${this.limits.partialBytesMax} bytes of messages that are not whole`);
  }

  noteDelivery(receiver: Receiver): void {
    this.#batch.push(receiver);
  }

  noteWaiting(session: Session): void {
    this.#egress.noteWaiting(session);
  }

  release(session: Session): void {
    this.#channels.delete(session);
    this.#egress.forget(session);
  }

  // Closing.

  #onClose(error: ErrorCondition | undefined): void {
    if (this.state.at === "closing") {
      this.#finish(this.state.end);
      return;
    }
    this.#sendOpen();
    this.output.frame(frameType.amqp, 0, encodeClose(undefined));
    this.#finish({ by: "peer", error });
  }

  #close(end: ConnectionEnd, error: ErrorCondition | undefined): void {
    const { state } = this;
    if (state.at === "closing" || state.at === "closed") return;
    if (state.at === "sasl" || (state.at === "header" && this.#side.role === "server")) {
      this.#finish(end);
      return;
    }
    this.#sendOpen();
    this.#egress.flushSessions();
    const body = encodeClose(error);
    const fits = body.length + 8 <= this.output.frameBytesMax;
    this.output.frame(frameType.amqp, 0, fits || error === undefined ? body : encodeClose({ condition: error.condition }));
    this.state = { at: "closing", end };
    this.#idle?.stop();
    this.#setDeadline(this.#side.options.closeTimeOutMs ?? closeTimeOutMsDefault, () => this.#finish(end));
    this.requestFlush();
    this.#dropSessions(error);
  }

  /** As `#close`; what an owner's callback throws meanwhile changes nothing any more. */
  #closeAnyhow(end: ConnectionEnd, error: ErrorCondition): void {
    try {
      this.#close(end, error);
    } catch {
      this.#finish(end);
    }
  }

  #dropSessions(error: ErrorCondition | undefined): void {
    this.#batch = [];
    this.#channels.forEach((session) => session.drop(error));
  }

  #finish(end: ConnectionEnd): void {
    if (this.state.at === "closed") return;
    const first = this.state.at === "closing" ? this.state.end : end;
    this.#reader.expect("nothing");
    this.#cancelDeadline?.();
    this.#idle?.stop();
    this.#egress.close();
    this.state = { at: "closed", end: first };
    this.#endSocket(end);
    this.#guardEnd(() => this.#dropSessions(first.error));
    this.#guardEnd(() => this.#events.onClosed?.(this, first));
  }

  /** Lets the socket send what was written, unless the peer does not take it. */
  #endSocket(end: ConnectionEnd): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (end.by === "socket" || end.by === "silence" || socket.writableLength > this.limits.outputBytesHigh) {
      socket.destroy();
      return;
    }
    const cancel = this.#clock.after(this.#side.options.closeTimeOutMs ?? closeTimeOutMsDefault, () => socket.destroy());
    socket.once("close", cancel);
    socket.resume();
    socket.end();
  }

  /** The connection is over: what the last callbacks throw is the owner's to see. */
  #guardEnd(run: () => void): void {
    try {
      run();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #setDeadline(delayMs: number, onDue: () => void): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = this.#clock.after(delayMs, onDue);
  }
}
