// Takes what clients send to a queue or a topic.
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { parseMessage } from "../codec/message.ts";
import type { MessageContent } from "../entities/message.ts";
import { splitBatch } from "../codec/request.ts";
import type { Destination } from "../entities/namespace.ts";
import { bytesMaxOf } from "../entities/settings.ts";
import type { ProtocolContext } from "./context.ts";
import type { Faults } from "./faults.ts";
import { entityFull, serverBusy, sessionIdMissing } from "./refusals.ts";
import { severLink } from "./sever.ts";
import { accepted, type Answer, type ReceivingHandler, type ReceivingLink, rejected, silent, type WireConnection, type WireError } from "./wire.ts";

/** The message format of a transfer that carries many messages. */
const batchFormat = 0x8001_3700;

export function sendTo(destination: Destination, link: ReceivingLink, connection: WireConnection, context: ProtocolContext): ReceivingHandler {
  const { faults } = context;
  return {
    onMessage: (bytes, format): Answer => {
      if (faults.any) {
        const trouble = troubleAtSend(destination.path, link, connection, faults);
        if (trouble !== undefined) return trouble;
      }
      let contents: MessageContent[];
      try {
        // Each message of a batch is read before any is taken: a batch is taken whole or not at all.
        const messages = format === batchFormat ? splitBatch(bytes) : [bytes];
        contents = messages.map((message) => parseMessage(message, context.newMessageId));
      } catch (error) {
        if (error instanceof ProtocolError) return rejected("amqp:decode-error", error.message);
        throw error;
      }
      if (requiresSession(destination) && contents.some(({ sessionId }) => sessionId === undefined)) return { kind: "rejected", error: sessionIdMissing };
      if (!destination.hasRoomFor(bytesOf(contents))) return { kind: "rejected", error: full(destination) };
      for (const content of contents) destination.accept(content);
      destination.dispatch();
      return accepted;
    },
    onClosed: (): void => undefined,
  };
}

/** Topics take messages without sessions; their subscriptions sort that out. */
export function requiresSession(destination: Destination): boolean {
  return "sessions" in destination && destination.sessions !== undefined;
}

/** Bytes that messages take up while they are held. */
export function bytesOf(contents: readonly MessageContent[]): number {
  let bytes = 0;
  for (const { bare } of contents) bytes += bare.length;
  return bytes;
}

export function full(destination: Destination): WireError {
  const { path, bytes, settings } = destination;
  return entityFull({ path, bytes, bytesMax: bytesMaxOf(settings), kind: "subscriptions" in destination ? "Topic" : "Queue" });
}

function troubleAtSend(path: string, link: ReceivingLink, connection: WireConnection, faults: Faults): Answer | undefined {
  if (severLink(path, { link, role: "sender", connection }, faults)) return silent;
  return faults.strike("throttle", path) === undefined ? undefined : { kind: "rejected", error: serverBusy };
}
