// The SASL layer (part 5, 5.3): both sides of the exchange that comes before AMQP proper.
//
//   client                          server
//   header "AMQP" 3 1 0 0  ──────▶
//                          ◀──────  header, sasl-mechanisms
//   sasl-init              ──────▶                             the mechanism and its initial response
//                          ◀──────  sasl-outcome               ok, or a code that refuses
//   header "AMQP" 0 1 0 0  ──────▶  …
//
// The mechanisms here say everything in their initial response, so a challenge is never sent and never expected:
// ANONYMOUS, PLAIN, EXTERNAL (the identity is the TLS client's certificate) and MSSBCBS, which Service Bus clients choose
// when they authorize themselves afterwards, by tokens put on the `$cbs` node.
import { descriptor } from "../codec/descriptors.ts";
import { encodeComposite } from "../codec/encode.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import { missing } from "../codec/fields.ts";
import type { FieldReader } from "../codec/fields.ts";
import { frameType } from "../frame/frames.ts";
import { frameBytesMin } from "../codec/limits.ts";
import type { Output } from "../frame/output.ts";
import { symbol, symbols, ubyte } from "../codec/types.ts";

/** How a client presents itself. All of it must fit into a frame of 512 bytes (part 5, 5.3.1); a RangeError says when not. */
export type SaslCredentials =
  | { readonly mechanism: "ANONYMOUS"; readonly trace?: string | undefined }
  | { readonly mechanism: "PLAIN"; readonly username: string; readonly password: string }
  | { readonly mechanism: "EXTERNAL"; readonly authorizationId?: string | undefined }
  | { readonly mechanism: "MSSBCBS" };

/** What a client said, for a server to judge. */
export interface SaslInit {
  /** One of those that were offered. */
  readonly mechanism: string;
  /** The initial response, a copy; empty when there was none. `parsePlain` reads that of PLAIN. */
  readonly response: Buffer;
  /** The host that the client means to reach. */
  readonly hostname: string | undefined;
}

/** How a server lets clients in. */
export interface SaslServerOptions {
  /** Offered in this order, the preferred one first. */
  readonly mechanisms: readonly string[];
  /**
   * Judges a client that chose one of them, by calling `decide` once, now or later; until then nothing of the client's is
   * read, and past `openTimeOutMs` it is given up. Who judges a certificate (EXTERNAL) makes the socket and uses `openServer`.
   */
  readonly authenticate: (init: SaslInit, decide: (allowed: boolean) => void) => void;
  /** Whether a client may leave SASL out. Default false. */
  readonly optional?: boolean | undefined;
}

/** How an exchange ends, or that it waits for the owner's judgement and nothing must be read until then. */
export type SaslProgress = { readonly at: "judging" } | { readonly at: "done" } | { readonly at: "refused"; readonly reason: string };

/** One side of the exchange, as the connection drives it. */
export interface SaslExchange {
  /** Both protocol headers are exchanged. */
  onHeaders(): void;
  /** A SASL frame has come. */
  onFrame(code: number, fields: FieldReader): void;
}

/** What an exchange needs of its connection. */
export interface SaslHost {
  readonly output: Output;
  onSasl(progress: SaslProgress): void;
  requestFlush(): void;
}

const outcomeOk = 0;
const outcomeAuth = 1;

const outcomeReasons: { readonly [code: number]: string } = {
  [outcomeAuth]: "the credentials were refused",
  2: "the peer failed",
  3: "the peer failed for good",
  4: "the peer failed for now",
};

/** RFC 4616: an authorization id, which is left empty, the user's name and the password. */
function initialResponse(credentials: SaslCredentials): Buffer | undefined {
  switch (credentials.mechanism) {
    case "ANONYMOUS":
      return credentials.trace === undefined ? undefined : Buffer.from(credentials.trace);
    case "PLAIN":
      return Buffer.from(`\0${credentials.username}\0${credentials.password}`);
    case "EXTERNAL":
      return Buffer.from(credentials.authorizationId ?? "");
    case "MSSBCBS":
      return undefined;
  }
}

/** The parts of a PLAIN response; undefined when it is none. */
export function parsePlain(response: Buffer): { readonly username: string; readonly password: string } | undefined {
  const parts = response.toString("utf8").split("\0");
  const [, username, password] = parts;
  return parts.length === 3 && username !== undefined && username !== "" && password !== undefined ? { username, password } : undefined;
}

function unexpected(code: number): ProtocolError {
  return new ProtocolError(conditions.notAllowed, `expected another SASL frame, found descriptor ${code}`);
}

export class SaslClient implements SaslExchange {
  readonly #host: SaslHost;
  readonly #mechanism: string;
  readonly #init: Buffer;
  #sent = false;

  constructor(host: SaslHost, credentials: SaslCredentials, hostname: string | undefined) {
    this.#host = host;
    this.#mechanism = credentials.mechanism;
    this.#init = encodeComposite(descriptor.saslInit, [symbol(credentials.mechanism), initialResponse(credentials), hostname]);
    if (this.#init.length + 8 > frameBytesMin)
      throw new RangeError(`SASL credentials: expected them to fit into a frame of ${frameBytesMin} bytes, got ${this.#init.length + 8}`);
  }

  onHeaders(): void {
    // The server speaks first.
  }

  onFrame(code: number, fields: FieldReader): void {
    if (code === descriptor.saslMechanisms && !this.#sent) this.#choose(fields.symbols());
    else if (code === descriptor.saslOutcome && this.#sent) this.#conclude(fields.ubyte(-1));
    else throw unexpected(code);
  }

  #choose(offered: readonly string[]): void {
    if (!offered.includes(this.#mechanism)) {
      this.#host.onSasl({ at: "refused", reason: `expected the peer to offer ${this.#mechanism}, it offers ${offered.join(", ") || "nothing"}` });
      return;
    }
    this.#sent = true;
    this.#host.output.frame(frameType.sasl, 0, this.#init);
    this.#host.requestFlush();
  }

  #conclude(code: number): void {
    if (code === outcomeOk) this.#host.onSasl({ at: "done" });
    else this.#host.onSasl({ at: "refused", reason: outcomeReasons[code] ?? `the peer answered with code ${code}` });
  }
}

export class SaslServer implements SaslExchange {
  readonly #host: SaslHost;
  readonly #options: SaslServerOptions;
  #asked = false;

  constructor(host: SaslHost, options: SaslServerOptions) {
    this.#host = host;
    this.#options = options;
  }

  onHeaders(): void {
    this.#host.output.frame(frameType.sasl, 0, encodeComposite(descriptor.saslMechanisms, [symbols(this.#options.mechanisms)]));
    this.#host.requestFlush();
  }

  onFrame(code: number, fields: FieldReader): void {
    if (code !== descriptor.saslInit || this.#asked) throw unexpected(code);
    this.#asked = true;
    const mechanism = fields.text() ?? missing("mechanism of sasl-init");
    const response = fields.binary() ? Buffer.from(fields.bytes.subarray(fields.spanStart, fields.spanEnd)) : Buffer.alloc(0);
    const hostname = fields.text();
    if (!this.#options.mechanisms.includes(mechanism)) {
      this.#conclude(false);
      return;
    }
    let decided = false;
    this.#host.onSasl({ at: "judging" });
    this.#options.authenticate({ mechanism, response, hostname }, (allowed) => {
      if (decided) return;
      decided = true;
      this.#conclude(allowed);
    });
  }

  #conclude(allowed: boolean): void {
    this.#host.output.frame(frameType.sasl, 0, encodeComposite(descriptor.saslOutcome, [ubyte(allowed ? outcomeOk : outcomeAuth)]));
    this.#host.onSasl(allowed ? { at: "done" } : { at: "refused", reason: "the credentials were refused" });
    this.#host.requestFlush();
  }
}
