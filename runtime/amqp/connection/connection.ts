// A connection: handshake, open and close, and the loop that hands each frame on (part 2, 2.2 to 2.4).
//
//   handshake ──headers, and SASL──▶ opening ──the peer's open──▶ open ──▶ closing ──▶ closed
//
//   A client's open goes out with its header, before the peer's have come; a server's answers the peer's.
//
//   close(), or a violation by the peer      →  closing: our close is out, all but the peer's close is dropped (DISCARDING)
//   the peer's close                         →  answered, then closed
//   bytes that are no frames, a lost socket, silence, a time-out in between  →  closed
//
// What comes in is handled as it is read, in plain callbacks. What goes out is collected and written tick by tick: see
// egress.ts. What comes before the open is in handshake.ts; the sessions are in sessions.ts.
import type { Duplex } from "node:stream";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { readErrorField, shortened } from "../message/condition.ts";
import type { ErrorCondition } from "../message/condition.ts";
import { closeTimeOutMsDefault, encodeOwnOpen, openTimeOutMsDefault } from "./connection-options.ts";
import type { ClientOptions, ConnectionEnd, ServerOptions, Side } from "./connection-options.ts";
import { describedValueAt, descriptor, descriptorAt } from "../codec/descriptors.ts";
import { Egress } from "./egress.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import { FieldReader } from "../codec/fields.ts";
import { FrameReader, frameType } from "../frame/frames.ts";
import type { FrameHandler, ProtocolHeader } from "../frame/frames.ts";
import { Handshake } from "./handshake.ts";
import type { HandshakeHost } from "./handshake.ts";
import { IdleWatch } from "./idle.ts";
import { frameBytesMin, resolveLimits } from "../codec/limits.ts";
import type { Limits } from "../codec/limits.ts";
import type { Output } from "../frame/output.ts";
import { encodeClose, readOpen } from "../frame/performatives.ts";
import type { Open } from "../frame/performatives.ts";
import type { Receiver } from "../link/receiver.ts";
import type { Session, SessionEvents, SessionOptions } from "../session/session.ts";
import { Sessions } from "./sessions.ts";
import type { SessionsHost } from "./sessions.ts";

export type ConnectionState =
  | { readonly at: "handshake" }
  | { readonly at: "opening" }
  | { readonly at: "open"; readonly remote: Open }
  | { readonly at: "closing"; readonly end: ConnectionEnd }
  | { readonly at: "closed"; readonly end: ConnectionEnd };

/**
 * Plain callbacks. One that throws, of the connection's or of what is on it, ends the connection, and `onClosed` tells what was
 * thrown; also when the connection is ending anyway, by whom or what ever. What `onClosed` itself throws reaches whoever called:
 * of `close` and `abort` the owner, else the event loop.
 */
export interface ConnectionEvents {
  /** The peer's open has come: sessions can be begun. */
  onOpen?(connection: Connection, remote: Open): void;
  /** The peer begins a session: return what listens to it. Without this, it is ended at once. */
  onSession?(session: Session, connection: Connection): SessionEvents;
  /** What was put together goes to the socket now: the last moment for making true what it says. Must not throw. */
  onWriting?(): void;
  /** The connection is over, and so are its sessions. Called once. */
  onClosed?(connection: Connection, end: ConnectionEnd): void;
}

/** The client's side on a socket that is connected or connecting. */
export function openClient(socket: Duplex, options: ClientOptions, events: ConnectionEvents): Connection {
  return new Connection(socket, { role: "client", options }, events);
}

/** The server's side on a socket that was accepted. */
export function openServer(socket: Duplex, options: ServerOptions, events: ConnectionEvents): Connection {
  return new Connection(socket, { role: "server", options }, events);
}

export class Connection implements FrameHandler, SessionsHost, HandshakeHost {
  readonly output: Output;
  readonly limits: Limits;
  state: ConnectionState = { at: "handshake" };
  readonly #socket: Duplex;
  readonly #side: Side;
  readonly #events: ConnectionEvents;
  readonly #clock: Clock;
  readonly #reader: FrameReader;
  readonly #egress: Egress;
  readonly #handshake: Handshake;
  readonly #sessions: Sessions = new Sessions(this);
  #idle: IdleWatch | undefined;
  #cancelDeadline: (() => void) | undefined;
  readonly #open: Buffer;
  #openSent = false;
  #partialBytes = 0;
  #attachBytes = 0;
  #batch: Receiver[] = [];

  readonly #fields = new FieldReader();

  constructor(socket: Duplex, side: Side, events: ConnectionEvents) {
    this.limits = resolveLimits(side.options.limits);
    this.#open = encodeOwnOpen(side.options);
    this.#socket = socket;
    this.#side = side;
    this.#events = events;
    this.#clock = side.options.clock ?? systemClock;
    this.#reader = new FrameReader(this, this.limits.saslFrameBytesMax);
    this.#egress = new Egress(socket, this.limits, {
      guard: (run) => this.#guard(run),
      onWriting: () => this.#events.onWriting?.(),
      onWritten: () => this.#idle?.noteWritten(),
      onOverflow: (bytes) =>
        this.#finish({
          by: "violation",
          error: { condition: conditions.resourceLimitExceeded, description: `expected the peer to read; ${bytes} bytes wait for it` },
        }),
    });
    this.output = this.#egress.output;
    this.#handshake = new Handshake(this, this.#reader, side);
    this.#handshake.start();
    this.#setDeadline(side.options.openTimeOutMs ?? openTimeOutMsDefault, () => {
      this.#finish({ by: "silence", error: { condition: conditions.resourceLimitExceeded, description: "the connection was not opened in time" } });
    });
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (cause: Error) => this.#finish({ by: "socket", cause }));
    socket.on("end", () => this.#finish({ by: "socket" }));
    socket.on("close", () => this.#finish({ by: "socket" }));
  }

  // For the owner:

  /** The peer's open, while the connection is open. */
  get remote(): Open | undefined {
    return this.state.at === "open" ? this.state.remote : undefined;
  }

  /**
   * Begins a session on an open connection. Links may be opened in it at once, before `onBegin`. Throws when the connection
   * is not open, or the peer allows no more sessions.
   */
  begin(events: SessionEvents, options: SessionOptions = {}): Session {
    if (this.state.at !== "open") throw new Error(`connection: expected it to be open, found it ${this.state.at}`);
    return this.#sessions.begin(events, options);
  }

  /**
   * Ends the connection in order, writing first what was settled and sent in this tick. `onClosed` follows when the peer has
   * answered, or has not in time. An error that is too long for the peer's frames is shortened. Does nothing to a connection
   * that is closing.
   */
  close(error?: ErrorCondition): void {
    this.#guard(() => this.#close({ by: "local", error }, error));
  }

  /** Ends the connection at once, without notice to the peer. */
  abort(): void {
    this.#socket.destroy();
    this.#finish({ by: "local" });
  }

  // Opening.

  sendOpen(): void {
    if (this.#openSent) return;
    this.#openSent = true;
    this.output.frame(frameType.amqp, 0, this.#open);
    this.requestFlush();
  }

  onHeader(header: ProtocolHeader): void {
    this.#handshake.onHeader(header);
  }

  onHandshakeDone(): void {
    this.#reader.frameBytesMax = this.limits.frameBytesMax;
    if (this.state.at === "handshake") this.state = { at: "opening" };
  }

  onHandshakeFailed(end: ConnectionEnd): void {
    this.#finish(end);
  }

  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.later(() => {
      this.#read(() => this.#reader.release());
      this.#socket.resume();
    });
  }

  #onOpen(remote: Open): void {
    if (this.state.at !== "opening") throw new ProtocolError(conditions.illegalState, "expected one open");
    if (remote.maxFrameSize < frameBytesMin)
      throw new ProtocolError(conditions.invalidField, `expected a max-frame-size of at least ${frameBytesMin}, found ${remote.maxFrameSize}`);
    if (remote.idleTimeOutMs > 0 && remote.idleTimeOutMs < this.limits.idleTimeOutMsMin) {
      throw new ProtocolError(conditions.notAllowed, `expected an idle-time-out of at least ${this.limits.idleTimeOutMsMin} ms, found ${remote.idleTimeOutMs}`);
    }
    this.sendOpen();
    this.output.frameBytesMax = remote.maxFrameSize;
    this.state = { at: "open", remote };
    this.#cancelDeadline?.();
    this.#idle = new IdleWatch(this.#clock, {
      ownMs: this.#side.options.idleTimeOutMs ?? 0,
      peerMs: remote.idleTimeOutMs,
      sendHeartbeat: () => {
        this.#guard(() => {
          this.output.frame(frameType.amqp, 0, Buffer.alloc(0));
          this.#egress.write();
        });
      },
      onSilence: () =>
        this.#guard(() =>
          this.#close({ by: "silence" }, { condition: conditions.resourceLimitExceeded, description: "nothing was heard for twice the idle-time-out" }),
        ),
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

  /** Runs what may throw. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#onThrown(error);
    }
  }

  /** A violation closes the connection with its condition, anything else with an internal error. */
  #onThrown(error: unknown): void {
    const { state } = this;
    if (error instanceof ProtocolError) {
      const sent = error.toCondition();
      this.#close({ by: "violation", error: sent }, sent);
      // Where the next frame begins is not known any more, so the peer's close would not be seen.
      if (error.code === conditions.framingError) this.#finish({ by: "violation", error: sent });
    } else if (state.at === "closing" || state.at === "closed") this.#noteFault(error);
    else this.#close({ by: "fault", cause: error }, { condition: conditions.internalError });
  }

  /** A callback threw while the connection ends. Once its owner has been notified how it ended, the caller gets it instead. */
  #noteFault(thrown: unknown): void {
    if (this.state.at !== "closing") throw thrown;
    this.state = { at: "closing", end: faultOf(this.state.end, thrown) };
  }

  /** What throws while a frame is handled does not keep the reader from finding the next. */
  onFrame(type: number, channel: number, bytes: Buffer, start: number, end: number): void {
    try {
      this.#handleFrame(type, channel, bytes, start, end);
    } catch (error) {
      this.#onThrown(error);
    }
  }

  #handleFrame(type: number, channel: number, bytes: Buffer, start: number, end: number): void {
    const { state } = this;
    if (state.at === "handshake") {
      this.#handshake.onFrame(type, bytes, start, end, this.#fields);
      return;
    }
    if (type !== frameType.amqp) throw new ProtocolError(conditions.framingError, `expected an AMQP frame, found type ${type}`);
    if (start === end) return;
    const code = descriptorAt(bytes, start, end);
    const fields = this.#fields.open(bytes, describedValueAt(bytes, start, end), end);
    if (code === descriptor.close) this.#onClose(readErrorField(fields.copied()));
    else if (state.at === "open" && code !== descriptor.open) this.#sessions.onFrame(code, channel, bytes, fields, end);
    else if (code === descriptor.open && (state.at === "opening" || state.at === "open")) this.#onOpen(readOpen(fields.copied()));
    else if (state.at !== "closing") throw new ProtocolError(conditions.illegalState, `expected open as the first frame, found descriptor ${code}`);
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

  get channelMax(): number {
    return this.state.at === "open" ? this.state.remote.channelMax : 0;
  }

  onSession(session: Session): SessionEvents | undefined {
    return this.#events.onSession?.(session, this);
  }

  holdAttach(bytes: number): void {
    this.#attachBytes += bytes;
    if (this.#attachBytes > this.limits.attachBytesMax)
      throw new ProtocolError(conditions.resourceLimitExceeded, `expected at most ${this.limits.attachBytesMax} bytes of attaches`);
  }

  holdPartial(bytes: number): void {
    this.#partialBytes += bytes;
    if (this.#partialBytes > this.limits.partialBytesMax)
      throw new ProtocolError(conditions.resourceLimitExceeded, `expected at most ${this.limits.partialBytesMax} bytes of messages that are not whole`);
  }

  noteDelivery(receiver: Receiver): void {
    this.#batch.push(receiver);
  }

  noteWaiting(session: Session): void {
    this.#egress.noteWaiting(session);
  }

  release(session: Session): void {
    this.#sessions.release(session);
    this.#egress.forget(session);
  }

  // Closing.

  #onClose(error: ErrorCondition | undefined): void {
    if (this.state.at === "closing") {
      this.#finish(this.state.end);
      return;
    }
    this.sendOpen();
    this.output.frame(frameType.amqp, 0, encodeClose(undefined));
    this.#finish({ by: "peer", error });
  }

  #close(end: ConnectionEnd, error: ErrorCondition | undefined): void {
    const { state } = this;
    if (state.at === "closing" || state.at === "closed") return;
    if (!this.#handshake.mayOpen) {
      this.#finish(end);
      return;
    }
    this.sendOpen();
    const written = this.#ending(end, () => this.#egress.flushSessions());
    this.output.frame(frameType.amqp, 0, encodeClose(shortened(error, this.output.frameBytesMax)));
    this.state = { at: "closing", end: written };
    this.#idle?.stop();
    this.#setDeadline(this.#side.options.closeTimeOutMs ?? closeTimeOutMsDefault, () => this.#finish(end));
    this.requestFlush();
    try {
      this.#dropSessions(error);
    } catch (thrown) {
      this.#noteFault(thrown);
    }
  }

  /** Runs what may throw at an end, which is a fault then. */
  #ending(end: ConnectionEnd, run: () => void): ConnectionEnd {
    try {
      run();
      return end;
    } catch (thrown) {
      return faultOf(end, thrown);
    }
  }

  #dropSessions(error: ErrorCondition | undefined): void {
    this.#batch = [];
    this.#sessions.drop(error);
  }

  #finish(end: ConnectionEnd): void {
    if (this.state.at === "closed") return;
    const first = this.state.at === "closing" ? this.state.end : end;
    this.state = { at: "closed", end: first };
    this.#reader.expect("nothing");
    this.#cancelDeadline?.();
    this.#idle?.stop();
    const written = this.#ending(first, () => this.#egress.close());
    this.#endSocket(end);
    const told = this.#ending(written, () => this.#dropSessions(first.error));
    this.state = { at: "closed", end: told };
    this.#events.onClosed?.(this, told);
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

  #setDeadline(delayMs: number, onDue: () => void): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = this.#clock.after(delayMs, onDue);
  }
}

/** The end of a connection that was ending when a callback threw. What was thrown first is reported. */
function faultOf(end: ConnectionEnd, cause: unknown): ConnectionEnd {
  return end.by === "fault" ? end : { by: "fault", error: end.error, cause };
}
