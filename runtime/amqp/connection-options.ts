// What an owner says when it makes a connection, and what it hears when one ends.
import type { Clock } from "./clock.ts";
import type { ErrorCondition } from "./condition.ts";
import { resolveLimits } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { encodeOpen, requireOpenFits } from "./performatives.ts";
import type { SaslCredentials, SaslServerOptions } from "./sasl.ts";
import type { Fields } from "./types.ts";

export interface ConnectionOptions {
  readonly containerId: string;
  /** The host a client means to reach, for a peer that serves many. */
  readonly hostname?: string | undefined;
  /** How long this side may be left without a frame, in ms; it gives up after twice that. Default 0: for ever. */
  readonly idleTimeOutMs?: number | undefined;
  /** How long opening may take, from the making of the connection to the peer's open. Default 30 000. */
  readonly openTimeOutMs?: number | undefined;
  /** How long the peer may take to answer a close, and then to end its side of the socket. Default 5 000. */
  readonly closeTimeOutMs?: number | undefined;
  readonly properties?: Fields | undefined;
  readonly offeredCapabilities?: readonly string[] | undefined;
  readonly desiredCapabilities?: readonly string[] | undefined;
  readonly limits?: Partial<Limits> | undefined;
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
   * sasl: who the client is was not accepted. silence: the peer was not heard of in time. socket: the socket failed or ended.
   * fault: an owner's callback threw; see `cause`.
   */
  readonly by: "local" | "peer" | "violation" | "sasl" | "silence" | "socket" | "fault";
  readonly error?: ErrorCondition | undefined;
  readonly cause?: unknown;
}
