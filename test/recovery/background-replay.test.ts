// A replay that the pool carries out: how its slices of time hand it on, with letters, records and time in memory.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { headersOfDeath } from "#runtime/core/death.ts";
import type { Delivery, HeaderValue, OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { readReplayHeader } from "#runtime/core/replay-order.ts";
import type { RunView } from "#runtime/core/run.ts";
import type { DeadLetterBox } from "#runtime/ports/dead-letters.ts";
import type { JobResult } from "#runtime/ports/recovery-queue.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { Receiver, Transport } from "#runtime/ports/transport.ts";
import { type BackgroundReplay, backgroundReplayOf, replayKind } from "#runtime/recovery/background-replay.ts";
import type { Letters } from "#runtime/recovery/letters.ts";
import { deliveryOf } from "#runtime/recovery/runs-message.ts";
import { deathOf } from "../contracts/run-store-fixtures.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

/** How a replayed run stands so long after its message was sent. */
type Fate = (sentAgoMs: number, replayId: string) => Partial<RunView>;

const done: Partial<RunView> = { state: "done", outbox: new Uint8Array(0) };
const underWay: Partial<RunView> = { state: "running", history: [] };

function diedOf(fingerprint: string, replayId: string): Partial<RunView> {
  return { state: "dead", history: [{ kind: "died", state: "dead", ...deathOf({ fingerprint, replayId }) }] };
}

function letterDelivery(number: number, codec: "json" | "msgpack" = "json"): Delivery {
  const event = { eventId: `event-${number}`, eventType: "Tried", version: "1.0" };
  const more = { traceId: "t", correlationId: "c", projectId: "p", originatingAgent: "a", timestamp: "2030-01-01T00:00:00Z", payload: {} };
  const body = codec === "json" ? Buffer.from(JSON.stringify({ ...event, ...more })) : Uint8Array.of(0x80);
  const death = { ...headersOfDeath(deathOf()), DeadLetterReason: deathOf().reason };
  const headers = { ...eventHeaders({ ...event, ...more }), ...death } as Record<string, HeaderValue>;
  const contentType = codec === "json" ? "application/json" : "application/msgpack";
  return { ...deliveryOf({ messageId: event.eventId, body, contentType, headers }), sequenceNumber: BigInt(number) };
}

/** Letters, and runs that go as `fate` says once a replay of theirs was sent. */
class Scene {
  readonly clock: SimClock = new SimClock();
  readonly lying: Map<bigint, Delivery>;
  readonly sent: { readonly eventId: string; readonly replayId: string; readonly atMs: number }[] = [];
  readonly #fate: Fate;
  #data: BackgroundReplay;

  constructor(deliveries: readonly Delivery[], fate: Fate, changes: Partial<BackgroundReplay> = {}) {
    this.lying = new Map(deliveries.map((delivery) => [delivery.sequenceNumber, delivery]));
    this.#fate = fate;
    const until = { box: String(deliveries.length) };
    const wishes = { from: "checkpoint", repeatsInDoubt: false, reason: "", perSecond: 50, waitMs: 60_000, failuresMax: 0 } as const;
    this.#data = { selection: { groups: [], events: [] }, until, groups: [], ...wishes, ...changes };
  }

  get groups(): BackgroundReplay["groups"] {
    return this.#data.groups;
  }

  /** One slice, as whichever worker carries it out; what it answers is kept as the queue keeps it. */
  async slice(): Promise<JobResult> {
    const { clock } = this;
    const letters: Letters = { boxes: [this.#box()], sources: [], readRoute: (delivery) => readRoute(delivery, defaultDecodeLimits) };
    const store = { secret: () => Promise.resolve("secret"), read: (eventId: string) => Promise.resolve(this.#view(eventId)) } as unknown as RunStore;
    const publisher = { start: async () => {}, stop: async () => {}, send: (_entity: string, messages: readonly OutgoingMessage[]) => this.#send(messages) };
    const surroundings = { clock, store, publisher, retryEntity: "work", consumer: "work", hashPayload: () => Promise.resolve("hash") };
    const handler = backgroundReplayOf({ surroundings, letters: () => Promise.resolve(letters) });
    const job = { kind: replayKind, id: "1", data: JSON.parse(JSON.stringify(this.#data)) as unknown, attempt: 1 };
    const result = await clock.finish("a slice", handler(job, new AbortController().signal));
    if (result.kind === "again") this.#data = result.data as BackgroundReplay;
    return result;
  }

  /** All slices, to the end. */
  async run(): Promise<void> {
    for (let slices = 0; slices < 50; slices += 1) {
      const result = await this.slice();
      if (result.kind === "done") return;
      await this.clock.advance(result.afterMs);
    }
    throw new Error("expected the replay to end within 50 slices");
  }

  #send(messages: readonly OutgoingMessage[]): Promise<void> {
    for (const { headers } of messages) {
      const replayId = readReplayHeader({ header: (name) => headers[name] })?.id ?? "";
      this.sent.push({ eventId: String(headers["eventId"]), replayId, atMs: this.clock.monotonicMs() });
    }
    return Promise.resolve();
  }

  #view(eventId: string): RunView | undefined {
    const sent = this.sent.find((one) => one.eventId === eventId);
    if (sent === undefined) return undefined;
    return { failures: 0, ...this.#fate(this.clock.monotonicMs() - sent.atMs, sent.replayId) } as RunView;
  }

  #box(): DeadLetterBox {
    return {
      name: "box",
      isOwn: true,
      transport: this.#transport(),
      start: async () => {},
      stop: async () => {},
      peek: (from, count) => {
        const page = [...this.lying.values()].filter(({ sequenceNumber }) => sequenceNumber >= from).slice(0, count);
        return Promise.resolve(page.map((delivery) => ({ delivery, state: "active", scheduledAtMs: undefined, deadLetterSource: undefined }) as const));
      },
    };
  }

  #transport(): Transport {
    const locked = new Set<bigint>();
    const openReceiver: Transport["openReceiver"] = (listener): Receiver => ({
      addCredit: (count) =>
        this.clock.soon(() => {
          const batch = [...this.lying.values()].filter(({ sequenceNumber }) => !locked.has(sequenceNumber)).slice(0, count);
          for (const { sequenceNumber } of batch) locked.add(sequenceNumber);
          if (batch.length > 0) listener.deliveries(batch);
        }),
      stop: async () => {},
    });
    const settle: Transport["settle"] = (orders) => {
      for (const { verb, delivery } of orders) {
        locked.delete(delivery.sequenceNumber);
        if (verb === "complete") this.lying.delete(delivery.sequenceNumber);
      }
      return Promise.resolve(orders.map(() => "settled" as const));
    };
    return { openReceiver, settle } as unknown as Transport;
  }
}

function lettersOf(count: number): readonly Delivery[] {
  return Array.from({ length: count }, (_, index) => letterDelivery(index + 1));
}

describe("a replay in the background", () => {
  test("counts what has completed though it took longer than a slice, and is done in the end", async () => {
    const scene = new Scene(lettersOf(40), (agoMs) => (agoMs >= 10_000 ? done : underWay));
    await scene.run();
    assert.deepEqual(
      scene.groups.map(({ state, letters, replayed, completed }) => [state, letters, replayed, completed]),
      [["done", 40, 40, 40]],
    );
  });

  test("sends nothing past a canary that has not ended within its time, and says so", async () => {
    const scene = new Scene(lettersOf(40), () => underWay);
    await scene.run();
    assert.equal(scene.sent.length, 1);
    assert.deepEqual(
      scene.groups.map(({ state, replayed }) => [state, replayed]),
      [["undecided", 1]],
    );
  });

  test("sends nothing past a canary that fails in another way, however late", async () => {
    const scene = new Scene(lettersOf(40), (agoMs, replayId) => (agoMs >= 30_000 ? diedOf("another", replayId) : underWay));
    await scene.run();
    assert.equal(scene.sent.length, 1);
    assert.deepEqual(
      scene.groups.map(({ state, replayed, failed }) => [state, replayed, failed]),
      [["other-failure", 1, 1]],
    );
  });

  test("is done when all that it was to send is gone, whoever ended in the middle of it", async () => {
    const left = { fingerprint: "f", state: "interrupted", letters: 3, replayed: 3, completed: 2, failed: 0, why: "" } as const;
    const scene = new Scene([], () => done, { groups: [left] });
    await scene.run();
    assert.deepEqual(scene.groups, [{ ...left, state: "done" }]);
  });

  test("stops at a letter of which no replay can be made, and leaves it where it is", async () => {
    const scene = new Scene([letterDelivery(1, "msgpack"), letterDelivery(2)], () => done, { patch: '{"amount":30}' });
    await scene.run();
    assert.equal(scene.lying.size, 2);
    const [group] = scene.groups;
    assert.deepEqual([group?.state, group?.failed], ["other-failure", 1]);
    assert.match(group?.why ?? "", /expected a plain JSON body to patch, found msgpack/);
  });
});
