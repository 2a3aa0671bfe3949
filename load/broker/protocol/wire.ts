// What the protocol layer asks of an AMQP engine, and what it answers. Messages cross this line as encoded bytes, so that an
// engine is connections, sessions, links, frames and settling, and nothing of Service Bus.

export interface WireError {
  /** An AMQP or Service Bus condition, such as `amqp:not-found`. */
  readonly condition: string;
  readonly description: string;
}

/** Fields of a map by name, each still encoded. */
export type EncodedFields = ReadonlyMap<string, Buffer>;

/** How the peer wants a delivery to end. */
export type Outcome =
  | { readonly kind: "accepted" }
  | { readonly kind: "released" }
  | { readonly kind: "modified"; readonly undeliverableHere: boolean; readonly annotations: EncodedFields | undefined }
  | { readonly kind: "rejected"; readonly info: EncodedFields | undefined };

/**
 * How the broker ends a delivery: as accepted, as rejected with an error, not at all, or later: `start` is given what to call
 * with the answer, at most once. An answer for a session that is gone by then goes nowhere.
 */
export type Answer =
  | { readonly kind: "accepted" }
  | { readonly kind: "rejected"; readonly error: WireError }
  | { readonly kind: "silent" }
  | { readonly kind: "later"; readonly start: (answer: (answer: Answer) => void) => void };

export const accepted: Answer = { kind: "accepted" };
export const silent: Answer = { kind: "silent" };

export function rejected(condition: string, description: string): Answer {
  return { kind: "rejected", error: { condition, description } };
}

export interface WireConnection {
  /** For people to read: the peer's address and container. */
  readonly name: string;
  /** The host that the peer called. */
  readonly host: string;
  close(error: WireError): void;
  /** Cuts the connection without notice. */
  cut(): void;
}

/** A peer's wish for a link. */
export interface Attach {
  readonly connection: WireConnection;
  /** The same object for all links of one session. */
  readonly session: object;
  readonly name: string;
  /** What it asks for that this broker has not: a coordinator of transactions, or a node that is made for the link. */
  readonly beyond: "transactions" | "dynamic nodes" | undefined;
  /** What the peer reads from or writes to; undefined when it named nothing. */
  readonly address: string | undefined;
  /** The peer's own end: where replies on this link are addressed to. */
  readonly peerAddress: string | undefined;
  /** The peer wants deliveries settled as they are sent. */
  readonly presettled: boolean;
  /** The filters on its source by name, where they are text or null; a described value counts as what it describes. */
  readonly filters: ReadonlyMap<string, string | null>;
  /** The link properties that are plain values. */
  readonly properties: ReadonlyMap<string, string | number | boolean>;
}

/** What our attach says beyond echoing the peer's. */
export interface AttachDetails {
  /** Filters on the source that hold now, by name: each replaces the peer's value of that name. */
  readonly filters: ReadonlyMap<string, string>;
  /** Link properties, as 64-bit integers. */
  readonly properties: ReadonlyMap<string, bigint>;
}

/** A link on which the broker sends. */
export interface SendingLink {
  readonly name: string;
  readonly connection: WireConnection;
  /**
   * Sends one delivery. Uses one credit; the caller never sends more than it was granted.
   *
   * @param parts the encoded message, in pieces that follow each other
   * @param held handed back with the outcome; undefined sends it settled
   * @param settled of one that is sent settled: handed back when the link ends before it was sent
   */
  send(tag: Buffer, parts: readonly [Buffer, Buffer], held: unknown, settled?: unknown): void;
  close(error: WireError): void;
}

export interface SendingHandler {
  /** The peer takes this many deliveries from now on. */
  onCredit(credit: number): void;
  /** The peer wants to end a delivery. Called once for each. */
  onOutcome(held: unknown, outcome: Outcome): Answer;
  /** A delivery that was to be sent settled was not sent, or not all of it, and will not be. */
  onUnsent?(settled: unknown): void;
  /** The link is gone, whoever closed it. Called once. */
  onClosed(): void;
}

/** A link on which the broker receives. */
export interface ReceivingLink {
  readonly name: string;
  close(error: WireError): void;
}

export interface ReceivingHandler {
  /** One whole delivery. The bytes are valid during the call only. */
  onMessage(bytes: Buffer, format: number): Answer;
  onClosed(): void;
}

/** What becomes of a wish for a link. */
export type AttachDecision =
  | { readonly kind: "send"; readonly details?: AttachDetails; readonly start: (link: SendingLink) => SendingHandler }
  | { readonly kind: "receive"; readonly messageBytesMax: number; readonly credit: number; readonly start: (link: ReceivingLink) => ReceivingHandler }
  | { readonly kind: "refuse"; readonly error: WireError }
  /**
   * Not decided yet: our attach waits. `start` is given what to call with the decision, at most once, and returns what is
   * called when the peer gives up before.
   */
  | { readonly kind: "later"; readonly start: (decide: (decision: AttachDecision) => void) => () => void };

/** Decides on links. `role` is the peer's. */
export interface WireServer {
  /** Whether a peer is let in that logs in by a SASL mechanism, with what it says there. */
  login(connection: WireConnection, mechanism: string, response: Buffer | undefined): boolean;
  attach(role: "sender" | "receiver", attach: Attach): AttachDecision;
  /** A connection is over; its links were closed before. */
  closed(connection: WireConnection): void;
  /** An error as the peer gets it: every one that leaves on a link or ends a connection passes here. */
  tell(error: WireError, connection: WireConnection, address: string | undefined): WireError;
}
