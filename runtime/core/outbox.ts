/** The stored form of what a run leaves behind: the events it has emitted and not yet published, and its session's new state. */
import { Packr } from "msgpackr/pack";
import type { OutgoingMessage } from "./delivery.ts";

const packr = new Packr({ useRecords: false, moreTypes: false });
const none = new Uint8Array(0);

/** What a run leaves its session. */
export interface LeftState {
  /** Null takes it away. */
  readonly state: Uint8Array | null;
  /** Of the message it was left under: another message of the event, sent later, does not bring it back. */
  readonly sequenceNumber: bigint;
}

interface Stored {
  readonly messages: readonly OutgoingMessage[];
  readonly state: Uint8Array | null;
  readonly sequenceNumber: string;
}

/** Empty for nothing. */
export function encodeOutbox(messages: readonly OutgoingMessage[], left?: LeftState): Uint8Array {
  if (left !== undefined) return packr.pack({ messages, state: left.state, sequenceNumber: String(left.sequenceNumber) } satisfies Stored);
  return messages.length === 0 ? none : packr.pack(messages);
}

/** Reads the messages of what `encodeOutbox` wrote. */
export function decodeOutbox(bytes: Uint8Array): readonly OutgoingMessage[] {
  const stored = read(bytes);
  return "messages" in stored ? stored.messages : stored;
}

/** Reads the state of what `encodeOutbox` wrote; undefined where it was left as it was. */
export function decodeLeftState(bytes: Uint8Array): LeftState | undefined {
  const stored = read(bytes);
  return "messages" in stored ? { state: stored.state, sequenceNumber: BigInt(stored.sequenceNumber) } : undefined;
}

function read(bytes: Uint8Array): readonly OutgoingMessage[] | Stored {
  return bytes.length === 0 ? [] : (packr.unpack(bytes) as readonly OutgoingMessage[] | Stored);
}
