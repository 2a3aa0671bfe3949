// Requests to nodes such as `$management`, their replies, and the envelope of a batched transfer.
import { ProtocolError, conditions } from "#runtime/amqp/codec/errors.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { MessageView } from "#runtime/amqp/message/message.ts";
import type { Encodable, Fields, Raw } from "#runtime/amqp/codec/types.ts";
import type { MapView, ValueView } from "#runtime/amqp/codec/views.ts";

/** A request to a node such as `$management`: what replies need, and the body as a value. */
export interface Request {
  /** The message id as it is encoded, so that the reply can carry it back in its own type. */
  readonly messageId: Raw | undefined;
  readonly replyTo: string | undefined;
  readonly properties: MapView | undefined;
  /** The value of the body; undefined when the body is none or of another kind. */
  readonly body: ValueView | undefined;
}

/**
 * Takes a request apart; it reads the bytes for as long as it is used.
 *
 * @throws ProtocolError when the bytes are not a message
 */
export function parseRequest(bytes: Buffer): Request {
  const message = new MessageView(bytes);
  const { applicationProperties } = message;
  applicationProperties?.checkEntries();
  return {
    messageId: message.propertyView("messageId")?.raw(),
    replyTo: message.text("replyTo"),
    properties: applicationProperties,
    body: message.bodyKind === "value" ? message.values()[0] : undefined,
  };
}

/** Encodes a reply: the request's message id becomes the correlation id. */
export function encodeReply(request: Request, applicationProperties: Fields, value: Encodable): Buffer {
  return encodeMessage({ properties: { correlationId: request.messageId }, applicationProperties, body: { value } });
}

/**
 * The messages of a batched transfer: each data section of the envelope holds one, encoded.
 *
 * @throws ProtocolError when the bytes are not a message
 */
export function splitBatch(bytes: Buffer): readonly Buffer[] {
  const view = new MessageView(bytes);
  const { bodyKind } = view;
  if (bodyKind === "data") return view.dataSections();
  throw new ProtocolError(
    conditions.decodeError,
    `expected a batch to hold its messages as data sections, found ${bodyKind === "none" ? "no body" : `a body of kind ${bodyKind}`}`,
  );
}
