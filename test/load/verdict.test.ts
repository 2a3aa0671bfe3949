import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { BrokerControl } from "#load/dev/broker-account.ts";
import { type Summary, summarise } from "#load/dev/verdict.ts";
import type { GeneratedMessage } from "#load/generator/generate.ts";
import type { StandInControl } from "#load/stand-ins/client.ts";
import { originHeader } from "#runtime/core/copy.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";

const sent = (messageId: string, eventId: string, kind: "first" | "duplicate"): GeneratedMessage =>
  ({ message: { messageId }, eventId, kind, expects: "completed" }) as unknown as GeneratedMessage;

/** Every event's run is done; `waiting`: messages still queued, each with the id of the one that it is a copy of, or none. */
function judged(messages: readonly GeneratedMessage[], waiting: readonly (readonly [messageId: string, origin?: string])[]): Promise<Summary> {
  const listed = (all: readonly (readonly [messageId: string, origin?: string])[]): AsyncGenerator =>
    (async function* list() {
      for (const [messageId, origin] of all) yield { messageId, applicationProperties: origin === undefined ? {} : { [originHeader]: origin } };
    })();
  const completed = messages.length - waiting.length;
  return summarise({
    events: 3,
    account: { accepted: messages.length, copies: 0, completed, deadLettered: 0, ready: waiting.length, queued: waiting.length, dueLater: 0, expiredLocks: 0 },
    broker: { deadLetters: () => listed([]), waiting: () => listed(waiting) } as unknown as BrokerControl,
    standIns: { summary: async () => ({}), repeats: async () => ({}) } as unknown as StandInControl,
    store: { read: async () => ({ state: "done", steps: [] }) } as unknown as RunStore,
    messages,
    elapsedMs: 1_000,
    bySecond: [],
    latencyMs: { p50: 0, p99: 0 },
    resumed: 0,
  });
}

test("duplicates are the messages completed beyond the first of each event, whatever is done while its message is still queued", async () => {
  const firsts = ["a", "b", "c"].map((id) => sent(`${id}-1`, id, "first"));
  const again = sent("a-2", "a", "duplicate");
  const cases: readonly (readonly [waiting: readonly (readonly [string, string?])[], duplicates: number])[] = [
    [[], 1],
    [[["b-1"], ["c-1"]], 1],
    [[["a-1"]], 0],
    [[["a-2"]], 0],
    [[["copy", "c-1"], ["b-1"]], 1],
    [[["a-1"], ["a-2"], ["b-1"], ["c-1"]], 0],
  ];
  for (const [waiting, duplicates] of cases) assert.equal((await judged([...firsts, again], waiting)).duplicates, duplicates, JSON.stringify(waiting));
});
