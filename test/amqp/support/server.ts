// A server of the engine for a peer of bare frames, and what such a peer says first.
import type { ConnectionEnd, ServerOptions } from "#runtime/amqp/connection/connection-options.ts";
import type { ConnectionEvents } from "#runtime/amqp/connection/connection.ts";
import { encodeBegin, encodeOpen } from "#runtime/amqp/frame/performatives.ts";
import type { SaslServerOptions } from "#runtime/amqp/security/sasl.ts";
import { listen } from "#runtime/amqp/connection/sockets.ts";
import type { Listener } from "#runtime/amqp/connection/sockets.ts";
import { readErrorField } from "#runtime/amqp/message/condition.ts";
import type { ErrorCondition } from "#runtime/amqp/message/condition.ts";
import { Signal } from "./loopback.ts";
import type { Seen } from "./loopback.ts";

/** A server for a peer of bare frames. */
export async function startServer(
  options: Partial<ServerOptions> = {},
  events: ConnectionEvents = {},
): Promise<{ readonly listener: Listener; readonly closed: Signal<ConnectionEnd> } & AsyncDisposable> {
  const closed = new Signal<ConnectionEnd>("the server's connection to be over");
  const listener = await listen(
    { containerId: "server", port: 0, closeTimeOutMs: 200, ...options },
    { ...events, onClosed: (_connection, end) => closed.set(end) },
  );
  return { listener, closed, [Symbol.asyncDispose]: () => listener.close() };
}

export const open: Buffer = encodeOpen({ containerId: "bare", maxFrameSize: 65_536, channelMax: 10 });
export const begin: Buffer = encodeBegin({ nextOutgoingId: 0, incomingWindow: 100, outgoingWindow: 100, handleMax: 10 });
export const errorOf = (seen: Seen): ErrorCondition | undefined => readErrorField(seen.fields);
export const allow: SaslServerOptions["authenticate"] = (_init, decide) => decide(true);
