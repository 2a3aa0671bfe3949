// What comes before the open: protocol headers, and SASL between them (part 2, 2.2; part 5, 5.3).
//
//   sasl ──the exchange ends well──▶ header ──the peer's AMQP header──▶ done
//     └──── a client that leaves SASL out, where that is optional ────────▲
//   sasl, header ──a header that is not spoken here, refused credentials──▶ failed
//
// A client sends its headers without being asked, and its open right behind the second one. A server answers each. What comes in while
// a server's owner judges the credentials is kept, and read when they are accepted.
import type { ConnectionEnd, Side } from "./connection-options.ts";
import { describedValueAt, descriptorAt } from "../codec/descriptors.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import type { FieldReader } from "../codec/fields.ts";
import { frameType, protocolHeader, protocolId } from "../frame/frames.ts";
import type { FrameReader, ProtocolHeader } from "../frame/frames.ts";
import type { Output } from "../frame/output.ts";
import { SaslClient, SaslServer } from "../security/sasl.ts";
import type { SaslExchange, SaslHost, SaslProgress } from "../security/sasl.ts";

export type HandshakeState =
  | { readonly at: "sasl"; readonly exchange: SaslExchange }
  | { readonly at: "header" }
  | { readonly at: "done" }
  | { readonly at: "failed" };

/** What a handshake needs of its connection. */
export interface HandshakeHost {
  readonly output: Output;
  requestFlush(): void;
  sendOpen(): void;
  /** Stops the socket while the owner judges. */
  pauseReading(): void;
  /** Goes on with what was kept, and then with the socket. */
  resumeReading(): void;
  onHandshakeDone(): void;
  onHandshakeFailed(end: ConnectionEnd): void;
}

export class Handshake implements SaslHost {
  readonly output: Output;
  readonly #host: HandshakeHost;
  readonly #reader: FrameReader;
  readonly #side: Side;
  #state: HandshakeState;

  constructor(host: HandshakeHost, reader: FrameReader, side: Side) {
    this.#host = host;
    this.#reader = reader;
    this.#side = side;
    this.output = host.output;
    const exchange = this.#makeExchange();
    this.#state = exchange === undefined ? { at: "header" } : { at: "sasl", exchange };
  }

  #makeExchange(): SaslExchange | undefined {
    const { role, options } = this.#side;
    if (options.sasl === undefined) return undefined;
    return role === "server" ? new SaslServer(this, options.sasl) : new SaslClient(this, options.sasl, options.hostname);
  }

  /** Whether our open may be sent, so that a close may be: a client's goes out with its header, a server's answers. */
  get mayOpen(): boolean {
    return this.#state.at === "done" || (this.#state.at === "header" && this.#side.role === "client");
  }

  /** A client speaks first. */
  start(): void {
    if (this.#side.role === "server") return;
    if (this.#state.at === "sasl") this.output.raw(protocolHeader(protocolId.sasl));
    else this.#sendHeaderAndOpen();
    this.requestFlush();
  }

  #sendHeaderAndOpen(): void {
    this.output.raw(protocolHeader(protocolId.amqp));
    this.#host.sendOpen();
  }

  onHeader(header: ProtocolHeader): void {
    const state = this.#state;
    const isServer = this.#side.role === "server";
    if (state.at === "sasl" && header.supported && header.id === protocolId.sasl) {
      if (isServer) this.output.raw(protocolHeader(protocolId.sasl));
      this.#reader.expect("frame");
      state.exchange.onHeaders();
      return;
    }
    const saslLeftOut = state.at === "sasl" && this.#side.role === "server" && this.#side.options.sasl?.optional === true;
    if ((state.at !== "header" && !saslLeftOut) || !header.supported || header.id !== protocolId.amqp) {
      this.#refuse(header);
      return;
    }
    this.#state = { at: "done" };
    this.#reader.expect("frame");
    if (isServer) {
      this.output.raw(protocolHeader(protocolId.amqp));
      this.requestFlush();
    }
    this.#host.onHandshakeDone();
  }

  /** A header that is not the one expected is answered with that, and the socket ends (part 2, 2.2). */
  #refuse(header: ProtocolHeader): void {
    const expected = this.#state.at === "sasl" ? protocolId.sasl : protocolId.amqp;
    if (this.#side.role === "server") this.output.raw(protocolHeader(expected));
    const found = header.supported ? `protocol ${header.id}` : "another protocol or version";
    const description = `expected the header of AMQP 1.0 ${expected === protocolId.sasl ? "with" : "without"} SASL, found ${found}`;
    this.#fail({ by: "violation", error: { condition: conditions.framingError, description } });
  }

  #fail(end: ConnectionEnd): void {
    this.#state = { at: "failed" };
    this.#host.onHandshakeFailed(end);
  }

  /** A frame that comes before the AMQP header; it ends at `end`. */
  onFrame(type: number, bytes: Buffer, start: number, end: number, fields: FieldReader): void {
    if (type !== frameType.sasl) throw new ProtocolError(conditions.framingError, `expected a SASL frame, found type ${type}`);
    if (this.#state.at === "sasl") this.#state.exchange.onFrame(descriptorAt(bytes, start, end), fields.open(bytes, describedValueAt(bytes, start, end), end));
  }

  onSasl(progress: SaslProgress): void {
    if (this.#state.at !== "sasl") return;
    switch (progress.at) {
      case "judging":
        this.#reader.hold();
        this.#host.pauseReading();
        return;
      case "refused":
        this.#fail({ by: "sasl", error: { condition: "amqp:unauthorized-access", description: progress.reason } });
        return;
      case "done":
        this.#state = { at: "header" };
        this.#reader.expect("header");
        if (this.#side.role === "client") this.#sendHeaderAndOpen();
        else this.#host.resumeReading();
    }
  }

  requestFlush(): void {
    this.#host.requestFlush();
  }
}
