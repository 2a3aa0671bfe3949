/** The stored form of the events a run has emitted and not yet published. */
import { Packr } from "msgpackr";
import type { OutgoingMessage } from "./delivery.ts";

const packr = new Packr({ useRecords: false, moreTypes: false });
const none = new Uint8Array(0);

/** Empty for no messages. */
export function encodeOutbox(messages: readonly OutgoingMessage[]): Uint8Array {
  return messages.length === 0 ? none : packr.pack(messages);
}

/** Reads what `encodeOutbox` wrote. */
export function decodeOutbox(bytes: Uint8Array): readonly OutgoingMessage[] {
  return bytes.length === 0 ? [] : (packr.unpack(bytes) as OutgoingMessage[]);
}
