// Takes what clients send to a queue or a topic.
import { type MessageContent, parseMessage } from "../codec/message.ts";
import { MalformedError } from "../codec/reader.ts";
import { splitBatch } from "../codec/request.ts";
import type { Destination } from "../entities/namespace.ts";
import type { ProtocolContext } from "./context.ts";
import { accepted, type Answer, type ReceivingHandler, rejected } from "./wire.ts";

/** The message format of a transfer that carries many messages. */
const batchFormat = 0x8001_3700;

export function sendTo(destination: Destination, context: ProtocolContext): ReceivingHandler {
  return {
    onMessage: (bytes, format): Answer => {
      let contents: MessageContent[];
      try {
        // Each message of a batch is read before any is taken: a batch is taken whole or not at all.
        const messages = format === batchFormat ? splitBatch(bytes) : [bytes];
        contents = messages.map((message) => parseMessage(message, context.newMessageId));
      } catch (error) {
        if (error instanceof MalformedError || error instanceof RangeError) return rejected("amqp:decode-error", error.message);
        throw error;
      }
      if (requiresSession(destination) && contents.some(({ sessionId }) => sessionId === undefined)) return rejected("amqp:not-allowed", sessionMissingText);
      for (const content of contents) destination.accept(content);
      destination.dispatch();
      return accepted;
    },
    onClosed: (): void => undefined,
  };
}

export const sessionMissingText = "The entity requires sessions: each message must have a session id.";

/** Topics take messages without sessions; their subscriptions sort that out. */
export function requiresSession(destination: Destination): boolean {
  return "sessions" in destination && destination.sessions !== undefined;
}
