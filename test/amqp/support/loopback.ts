// A client and a server of the engine, or a peer made of bare frames, on a real loopback socket.
import { connect as connectTcp } from "node:net";
import type { Socket } from "node:net";
import type { Clock } from "#runtime/amqp/connection/clock.ts";
import type { ClientOptions, ConnectionEnd, ServerOptions } from "#runtime/amqp/connection/connection-options.ts";
import type { Connection, ConnectionEvents } from "#runtime/amqp/connection/connection.ts";
import { describedValueAt, descriptorAt } from "#runtime/amqp/codec/descriptors.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { FrameReader, frameType, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import type { Attach } from "#runtime/amqp/frame/performatives.ts";
import type { Receiver, ReceiverEvents } from "#runtime/amqp/link/receiver.ts";
import type { Sender, SenderEvents } from "#runtime/amqp/link/sender.ts";
import type { Session, SessionEvents } from "#runtime/amqp/session/session.ts";
import { dial, listen } from "#runtime/amqp/connection/sockets.ts";
import type { DialOptions, Listener, ListenOptions } from "#runtime/amqp/connection/sockets.ts";
import { within } from "../../support/eventually.ts";

/** A promise of an event, and how to make it come true. */
export class Signal<Value = void> {
  readonly #resolvers = Promise.withResolvers<Value>();
  readonly #what: string;
  value: Value | undefined;
  isSet = false;

  constructor(what: string) {
    this.#what = what;
  }

  readonly set = (value: Value): void => {
    this.value = value;
    this.isSet = true;
    this.#resolvers.resolve(value);
  };

  wait(): Promise<Value> {
    return within(this.#what, this.#resolvers.promise);
  }
}

export interface Pair extends AsyncDisposable {
  readonly client: Connection;
  readonly clientClosed: Signal<ConnectionEnd>;
  readonly server: Connection;
  readonly serverClosed: Signal<ConnectionEnd>;
  readonly listener: Listener;
}

export interface PairOptions {
  readonly client?: Partial<DialOptions & ClientOptions>;
  readonly server?: Partial<ListenOptions & ServerOptions>;
  /** What the server does with the client's links. */
  readonly sessionEvents?: SessionEvents;
  readonly serverEvents?: ConnectionEvents;
  readonly clientEvents?: ConnectionEvents;
}

/** Opens a client to a server and waits for both. */
export async function startPair(options: PairOptions = {}): Promise<Pair> {
  const serverOpened = new Signal<Connection>("the server's connection to open");
  const serverClosed = new Signal<ConnectionEnd>("the server's connection to be over");
  const clientOpened = new Signal<Connection>("the client's connection to open");
  const clientClosed = new Signal<ConnectionEnd>("the client's connection to be over");
  const listener = await listen(
    { containerId: "server", port: 0, ...options.server },
    {
      onSession: () => options.sessionEvents ?? {},
      ...options.serverEvents,
      onOpen: (connection, remote) => {
        options.serverEvents?.onOpen?.(connection, remote);
        serverOpened.set(connection);
      },
      onClosed: (_connection, end) => serverClosed.set(end),
    },
  );
  const client = dial(
    { containerId: "client", host: "127.0.0.1", port: listener.port, ...options.client },
    { ...options.clientEvents, onOpen: (connection) => clientOpened.set(connection), onClosed: (_connection, end) => clientClosed.set(end) },
  );
  try {
    await clientOpened.wait();
    const server = await serverOpened.wait();
    return {
      client,
      clientClosed,
      server,
      serverClosed,
      listener,
      [Symbol.asyncDispose]: async () => {
        client.abort();
        await listener.close();
      },
    };
  } catch (error) {
    client.abort();
    await listener.close();
    throw error;
  }
}

/** Waits until a link that was opened is attached; throws when it is refused. */
export async function attachedSender<Context>(
  session: Session,
  options: Parameters<Session["openSender"]>[0],
  events: SenderEvents<Context> = {},
): Promise<Sender<Context>> {
  const attached = new Signal<Sender<Context>>("the sender to be attached");
  session.openSender<Context>(options, {
    ...events,
    onAttach: (sender, remote) => {
      events.onAttach?.(sender, remote);
      attached.set(sender);
    },
  });
  return attached.wait();
}

export async function attachedReceiver(session: Session, options: Parameters<Session["openReceiver"]>[0], events: ReceiverEvents): Promise<Receiver> {
  const attached = new Signal<Receiver>("the receiver to be attached");
  session.openReceiver(options, {
    ...events,
    onAttach: (receiver, remote: Attach) => {
      events.onAttach?.(receiver, remote);
      attached.set(receiver);
    },
  });
  return attached.wait();
}

/** A frame as a peer of bare frames saw it. */
export interface Seen {
  readonly type: number;
  readonly channel: number;
  /** -1 in a heartbeat. */
  readonly code: number;
  /** The whole body. */
  readonly body: Buffer;
  readonly fields: FieldReader;
}

/** A peer that speaks in frames written by hand. */
export class BarePeer implements AsyncDisposable {
  readonly socket: Socket;
  readonly headers: number[] = [];
  readonly frames: Seen[] = [];
  readonly ended: Signal = new Signal("the socket to end");
  readonly #reader: FrameReader;
  #wake: (() => void) | undefined;

  constructor(port: number) {
    this.socket = connectTcp({ port, host: "127.0.0.1", noDelay: true });
    this.#reader = new FrameReader(
      {
        onHeader: (header) => {
          this.headers.push(header.id);
          this.#reader.expect(header.id === protocolId.sasl ? "frame" : "frame");
        },
        onFrame: (type, channel, bytes, start, end) => {
          const body = Buffer.from(bytes.subarray(start, end));
          const code = body.length === 0 ? -1 : descriptorAt(body, 0, body.length);
          const fields = new FieldReader();
          if (code >= 0) fields.open(body, describedValueAt(body, 0, body.length), body.length);
          this.frames.push({ type, channel, code, body, fields });
          if (type === frameType.sasl && code === 0x44) this.#reader.expect("header");
        },
      },
      1_048_576,
    );
    this.socket.on("data", (chunk: Buffer) => {
      this.#reader.push(chunk);
      this.#wake?.();
    });
    this.socket.on("error", () => this.ended.set());
    this.socket.on("close", () => {
      this.ended.set();
      this.#wake?.();
    });
  }

  header(id: number = protocolId.amqp): void {
    this.socket.write(protocolHeader(id));
  }

  frame(body: Uint8Array, channel = 0, type: number = frameType.amqp): void {
    this.socket.write(bareFrame(body, channel, type));
  }

  /** Waits until a frame of this kind has come that was not waited for before. */
  async next(code: number): Promise<Seen> {
    return within(`a frame 0x${code.toString(16)}`, this.#take(code));
  }

  async #take(code: number): Promise<Seen> {
    for (;;) {
      const index = this.frames.findIndex((frame) => frame.code === code);
      const [found] = index < 0 ? [] : this.frames.splice(index, 1);
      if (found !== undefined) return found;
      if (this.ended.isSet) throw new Error(`the socket ended without a frame 0x${code.toString(16)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.ended.wait();
  }
}

export function bareFrame(body: Uint8Array, channel = 0, type: number = frameType.amqp): Buffer {
  const head = Buffer.from([0, 0, 0, 0, 2, type, channel >>> 8, channel & 0xff]);
  head.writeUInt32BE(8 + body.length);
  return Buffer.concat([head, body]);
}

/** A clock that moves when asked to. */
export class ManualClock implements Clock {
  #nowMs = 0;
  /** How often a timer was set. */
  timersSet = 0;
  #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    this.timersSet++;
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that are set. */
  get timersLeft(): number {
    return this.#timers.size;
  }

  /** Moves on, ringing timers in their order. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = due.atMs;
      due.callback();
    }
    this.#nowMs = endMs;
  }
}
