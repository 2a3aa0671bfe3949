// What an owner says when it makes a connection, and what it hears when one ends.
import type { Clock } from "./clock.ts";
import type { ErrorCondition } from "../message/condition.ts";
import { resolveLimits } from "../codec/limits.ts";
import type { Limits } from "../codec/limits.ts";
import { encodeOpen, requireOpenFits } from "../frame/performatives.ts";
import type { SaslCredentials, SaslServerOptions } from "../security/sasl.ts";
import type { Fields } from "../codec/types.ts";

/** What both sides may say of themselves (part 2, 2.7.1). All of it must fit into an open of 512 bytes; a RangeError says when not. */
export interface ConnectionOptions {
  /** Who this side is. A peer tells links of one name apart by the containers that attach them. */
  readonly containerId: string;
  /** The host a client means to reach, for a peer that serves many. */
  readonly hostname?: string | undefined;
  /** How long this side may be left without a frame, in ms; it gives up after twice that. Default 0: for ever. */
  readonly idleTimeOutMs?: number | undefined;
  /** How long opening may take, from the making of the connection to the peer's open. Default 30 000. */
  readonly openTimeOutMs?: number | undefined;
  /** How long the peer may take to answer a close, and then to end its side of the socket. Default 5 000. */
  readonly closeTimeOutMs?: number | undefined;
  /** Keys are written as symbols. */
  readonly properties?: Fields | undefined;
  /** Extensions that this side can use. */
  readonly offeredCapabilities?: readonly string[] | undefined;
  /** Extensions that this side wants the peer to have. */
  readonly desiredCapabilities?: readonly string[] | undefined;
  /** Changes to single limits; see limits.ts for each and its default. */
  readonly limits?: Partial<Limits> | undefined;
  /** Default the system's. */
  readonly clock?: Clock | undefined;
}

export const openTimeOutMsDefault = 30_000;
export const closeTimeOutMsDefault = 5_000;

export interface ClientOptions extends ConnectionOptions {
  /** Undefined leaves SASL out. */
  readonly sasl?: SaslCredentials | undefined;
}

export interface ServerOptions extends ConnectionOptions {
  /** Undefined: no SASL is spoken. */
  readonly sasl?: SaslServerOptions | undefined;
}

/** Our open, encoded. Throws a RangeError for options that are out of bounds: these limits, or an open that is too long. */
export function encodeOwnOpen(options: ConnectionOptions): Buffer {
  const limits = resolveLimits(options.limits);
  return requireOpenFits(
    encodeOpen({
      containerId: options.containerId,
      hostname: options.hostname,
      maxFrameSize: limits.frameBytesMax,
      channelMax: limits.sessionsMax - 1,
      idleTimeOutMs: options.idleTimeOutMs || undefined,
      properties: options.properties,
      offeredCapabilities: options.offeredCapabilities,
      desiredCapabilities: options.desiredCapabilities,
    }),
  );
}

/** Which of the two ends of a connection this one is. */
export type Side = { readonly role: "client"; readonly options: ClientOptions } | { readonly role: "server"; readonly options: ServerOptions };

/** How a connection ended. */
export interface ConnectionEnd {
  /**
   * local: `close` was called. peer: it sent a close. violation: the peer broke the protocol, and `error` was sent to it.
   * sasl: who the client is was not accepted. silence: nothing came from the peer in time. socket: the socket failed or ended.
   * fault: an owner's callback threw, before the end or when it was notified of it; see `cause`.
   */
  readonly by: "local" | "peer" | "violation" | "sasl" | "silence" | "socket" | "fault";
  /** What the peer said with its close, or we said with ours. */
  readonly error?: ErrorCondition | undefined;
  /** What the socket failed with, or what a callback threw. */
  readonly cause?: unknown;
}
