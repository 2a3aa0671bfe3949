// What a hostile client may put into a request or a message: the right things, the wrong ones, and bytes that were damaged.
import { encode } from "#runtime/amqp/codec/encode.ts";
import { encodeMessage, type MessageBody } from "#runtime/amqp/message/message-writer.ts";
import { type Encodable, int, Raw, symbol, uuid } from "#runtime/amqp/codec/types.ts";
import type { Random } from "../random.ts";

export const names: readonly string[] = [
  "lock-tokens",
  "from-sequence-number",
  "message-count",
  "session-id",
  "omit-message-body",
  "messages",
  "message",
  "sequence-numbers",
  "receiver-settle-mode",
  "disposition-status",
  "deadletter-reason",
  "deadletter-description",
  "properties-to-modify",
  "session-state",
  "last-updated-time",
  "skip",
  "top",
  "rule-name",
  "rule-description",
  "sql-filter",
  "correlation-filter",
  "sql-rule-action",
  "expression",
  "properties",
  "enqueued-time-utc",
];

export const operations: readonly string[] = [
  "renew-lock",
  "peek-message",
  "schedule-message",
  "cancel-scheduled-message",
  "receive-by-sequence-number",
  "update-disposition",
  "renew-session-lock",
  "get-session-state",
  "set-session-state",
  "get-message-sessions",
  "add-rule",
  "remove-rule",
  "enumerate-rules",
  "batch-delete-messages",
  "make-coffee",
];

const texts: readonly string[] = [
  "",
  "a",
  "b",
  "completed",
  "abandoned",
  "defered",
  "suspended",
  "$Default",
  "1=1",
  "n > 1",
  "color = 'red' AND",
  "SET n = n + 1",
  "REMOVE n",
  "x LIKE '%%%%%%a'",
  "😀",
  "x".repeat(300),
];

export function anyValue(random: Random, depth = 0): Encodable {
  switch (random.below(depth > 3 ? 9 : 12)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return int(random.edge() | 0);
    case 3:
      return random.below(20);
    case 4:
      return random.pick(texts);
    case 5:
      return new Date(random.chance(0.5) ? random.edge() : 1_000_000);
    case 6:
      return uuid(random.bytes(16));
    case 7:
      return random.bytes(random.below(40));
    case 8:
      return symbol(random.pick(names));
    case 9:
      return Array.from({ length: random.below(5) }, () => anyValue(random, depth + 1));
    default:
      return anyMap(random, depth + 1);
  }
}

export function anyMap(random: Random, depth = 0): ReadonlyMap<string, Encodable> {
  return new Map(Array.from({ length: random.below(6) }, () => [random.pick(names), anyValue(random, depth)]));
}

/** An encoded message, mostly a good one. */
export function anyMessage(random: Random): Buffer {
  const annotation = random.pick(["x-opt-scheduled-enqueue-time", "x-opt-partition-key", "x-opt-sequence-number", "own"]);
  const bytes = encodeMessage({
    header: random.chance(0.5) ? { ttlMs: random.chance(0.3) ? random.below(50) : 100_000 } : undefined,
    messageAnnotations: random.chance(0.3) ? { [annotation]: random.chance(0.7) ? new Date(1_000_000 + random.below(500)) : anyValue(random) } : undefined,
    properties: {
      messageId: random.chance(0.8) ? `m${random.below(6)}` : anyValue(random),
      subject: random.chance(0.9) ? null : anyValue(random),
      correlationId: random.chance(0.9) ? null : anyValue(random),
      groupId: random.chance(0.7) ? random.pick(["a", "b", "c"]) : null,
    },
    applicationProperties: { n: random.below(5), color: random.pick(["red", "blue"]) },
    body: anyBody(random),
  });
  return damaged(random, bytes, 0.15);
}

function anyBody(random: Random): MessageBody {
  const bytes = random.bytes(random.below(60));
  const kind = random.below(4);
  return kind < 2 ? { data: bytes } : kind === 2 ? { value: bytes } : { sequences: [[new Raw(encode(bytes))]] };
}

/** Bytes with some of them changed, cut off or doubled, as often as `rate` says. */
export function damaged(random: Random, bytes: Buffer, rate: number): Buffer {
  if (bytes.length === 0 || !random.chance(rate)) return bytes;
  const copy = Buffer.from(bytes);
  for (let i = random.below(4); i >= 0; i--) copy[random.below(copy.length)] = random.u32();
  const at = random.below(copy.length);
  switch (random.below(4)) {
    case 0:
      return copy.subarray(0, at);
    case 1:
      return Buffer.concat([copy, copy.subarray(at)]);
    default:
      return copy;
  }
}
