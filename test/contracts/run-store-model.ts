// A run store in a few lines, and random sequences of operations that a real one must answer alike.
import { strict as assert } from "node:assert";
import * as fc from "fast-check";
import type { StepRecord } from "#runtime/core/run.ts";
import type { ClaimRequest, ClaimResult, FailWrite, ReviveRequest, ReviveResult, RunStore, WriteResult } from "#runtime/ports/run-store.ts";
import { deathOf, plainSteps, type RunStoreHarness, stepOf } from "./run-store-fixtures.ts";

interface ModelRecord {
  state: "running" | FailWrite["state"] | "done";
  epoch: number;
  failures: number;
  losses: number;
  generation: number;
  restarts: number;
  /** Time of the last death, and the replays that are known. */
  diedAtMs: number | undefined;
  replays: Set<string>;
  leased: boolean;
  token: string;
  payloadHash: string;
  pipelineHash: string;
  steps: StepRecord[];
  outbox: Uint8Array;
  reason: string | undefined;
}

class ModelStore {
  readonly records = new Map<string, ModelRecord>();

  claim({ eventId, token, payloadHash, pipelineHash }: ClaimRequest): ClaimResult {
    let record = this.records.get(eventId);
    if (record === undefined) {
      record = {
        state: "waiting",
        epoch: 0,
        failures: 0,
        losses: 0,
        generation: 0,
        restarts: 0,
        diedAtMs: undefined,
        replays: new Set(),
        leased: false,
        token,
        payloadHash,
        pipelineHash,
        steps: [],
        outbox: new Uint8Array(0),
        reason: undefined,
      };
      this.records.set(eventId, record);
    }
    if (record.payloadHash !== payloadHash) return { kind: "reused" };
    if (record.state === "done") return { kind: "done", outbox: record.outbox };
    if (record.state === "dead" || record.state === "parked") return { kind: "dead", reason: record.reason ?? "", history: [] };
    if (record.state === "running" && record.leased) {
      if (record.token !== token) return { kind: "held", forMs: 1 };
    } else {
      record.epoch += 1;
      if (record.state === "running") record.losses += 1;
      if (record.steps.length === 0) record.pipelineHash = pipelineHash;
      Object.assign(record, { state: "running", token, leased: true, reason: undefined });
    }
    return {
      kind: "acquired",
      epoch: record.epoch,
      failures: record.failures,
      losses: record.losses,
      generation: record.generation,
      restarts: record.restarts,
      pipelineHash: record.pipelineHash,
      steps: record.steps,
    };
  }

  revive({ eventId, epoch, revival }: ReviveRequest): ReviveResult {
    const record = this.records.get(eventId);
    if (record === undefined) return "refused";
    const isGivenUp = record.state === "dead" || record.state === "parked";
    if (revival.by === "resend") {
      if (!isGivenUp || record.diedAtMs === undefined || revival.enqueuedAtMs <= record.diedAtMs) return "refused";
    } else {
      if (!isGivenUp && !(record.state === "running" && record.epoch === epoch)) return "refused";
      if (record.replays.has(revival.id) || (record.payloadHash !== revival.payloadHash && !revival.patched)) return "refused";
      record.replays.add(revival.id);
      record.payloadHash = revival.payloadHash;
      if (revival.from === "start") {
        record.steps = [];
        record.restarts += 1;
      } else if (revival.repeatsInDoubt) record.steps = record.steps.filter((known) => known.state !== "intent");
    }
    record.generation += 1;
    Object.assign(record, { failures: 0, losses: 0 });
    if (isGivenUp) Object.assign(record, { state: "waiting", reason: "revived" });
    return "revived";
  }

  owned(eventId: string, epoch: number): ModelRecord | undefined {
    const record = this.records.get(eventId);
    return record?.state === "running" && record.epoch === epoch ? record : undefined;
  }

  end(eventId: string, epoch: number, state: ModelRecord["state"], change: (record: ModelRecord) => void): WriteResult {
    const record = this.owned(eventId, epoch);
    if (record === undefined) {
      const known = this.records.get(eventId);
      return known?.state === state && known.epoch === epoch ? "written" : "stale";
    }
    record.state = state;
    change(record);
    return "written";
  }

  /** Leases of these runs end. */
  lapse(eventIds: readonly string[]): void {
    for (const eventId of eventIds) {
      const record = this.records.get(eventId);
      if (record !== undefined) record.leased = false;
    }
  }
}

interface Target {
  readonly eventId: string;
  /** Added to the epoch that the run has now. */
  readonly epochOffset: number;
}

type Operation =
  | { readonly kind: "claim"; readonly requests: readonly ClaimRequest[]; readonly lapses: boolean }
  | { readonly kind: "checkpoint"; readonly writes: readonly (Target & { readonly step: StepRecord })[] }
  | { readonly kind: "finish"; readonly writes: readonly (Target & { readonly outbox: Uint8Array })[] }
  | { readonly kind: "fail"; readonly writes: readonly (Target & Pick<FailWrite, "state" | "reason" | "failures" | "losses"> & { readonly dies: boolean })[] }
  | { readonly kind: "revive"; readonly requests: readonly (Target & Pick<ReviveRequest, "revival">)[] }
  | { readonly kind: "extend"; readonly writes: readonly Target[]; readonly lapses: boolean }
  | { readonly kind: "clearOutbox"; readonly eventIds: readonly string[] };

const diedAtMs = 1_700_000_000_000;
const eventId = fc.constantFrom("a", "b", "c:s", "c");
const epochOffset = fc.constantFrom(0, 0, 0, -1, 1);
const bytes = fc.uint8Array({ maxLength: 12 });
const lapses = fc.boolean();

const request = fc.record({
  eventId,
  token: fc.constantFrom("token-1", "token-2", "token-3"),
  payloadHash: fc.constantFrom("payload-1", "payload-1", "payload-1", "payload-2"),
  pipelineHash: fc.constantFrom("pipeline-1", "pipeline-2"),
});

const step = fc
  .record({
    name: fc.constantFrom("one", "two", "3"),
    kind: fc.constantFrom("keyed", "queryable", "idempotent", "atMostOnce"),
    state: fc.constantFrom("intent", "completed"),
    result: bytes,
    checksum: fc.nat(4_294_967_295),
    codec: fc.nat(255),
  })
  .map((fields) => stepOf(fields.name, fields));

const revival: fc.Arbitrary<ReviveRequest["revival"]> = fc.oneof(
  fc.record({ by: fc.constant("resend" as const), enqueuedAtMs: fc.constantFrom(diedAtMs, diedAtMs + 1) }),
  fc.record({
    by: fc.constant("replay" as const),
    id: fc.constantFrom("replay-1", "replay-2", "replay-3"),
    from: fc.constantFrom("checkpoint" as const, "start" as const),
    patched: fc.boolean(),
    repeatsInDoubt: fc.boolean(),
    reason: fc.string({ maxLength: 20 }),
    who: fc.constantFrom("", "ada@desk"),
    payloadHash: fc.constantFrom("payload-1", "payload-2"),
  }),
);

const batch = { minLength: 1, maxLength: 4 };
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("claim" as const), requests: fc.array(request, batch), lapses }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("checkpoint" as const), writes: fc.array(fc.record({ eventId, epochOffset, step }), batch) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("finish" as const),
      writes: fc.array(fc.record({ eventId, epochOffset, outbox: bytes }), { minLength: 1, maxLength: 2 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("fail" as const),
      writes: fc.array(
        fc.record({
          eventId,
          epochOffset,
          state: fc.constantFrom("waiting", "waiting", "waiting", "dead", "parked"),
          reason: fc.string({ maxLength: 20 }),
          failures: fc.constantFrom(0, 1),
          losses: fc.nat(3),
          dies: fc.boolean(),
        }),
        batch,
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("revive" as const), requests: fc.array(fc.record({ eventId, epochOffset, revival }), batch) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("extend" as const), writes: fc.array(fc.record({ eventId, epochOffset }), batch), lapses }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clearOutbox" as const), eventIds: fc.array(eventId, batch) }) },
);

const longMs = 60_000;
/** A lease that is over once its batch is answered and `advance` has returned. */
const briefMs = 1;

function plainClaim(result: ClaimResult): unknown {
  if (result.kind === "acquired") return { ...result, steps: plainSteps(result.steps) };
  if (result.kind === "done") return { kind: "done", outbox: [...result.outbox] };
  if (result.kind === "held") return { kind: "held" };
  if (result.kind === "dead") return { ...result, history: [] };
  return result;
}

/** Names are prefixed, so that every sequence starts without records. */
class Comparison {
  readonly model = new ModelStore();
  readonly store: RunStore;
  readonly harness: RunStoreHarness;
  readonly prefix: string;

  constructor(harness: RunStoreHarness, store: RunStore, prefix: string) {
    this.harness = harness;
    this.store = store;
    this.prefix = prefix;
  }

  async apply(next: Operation): Promise<void> {
    const { model, store } = this;
    switch (next.kind) {
      case "claim": {
        const requests = next.requests.map((one) => ({ ...one, eventId: this.prefix + one.eventId }));
        const answers = await store.claim(requests, next.lapses ? briefMs : longMs);
        const expected = requests.map((one) => plainClaim(model.claim(one)));
        assert.deepEqual(answers.map(plainClaim), expected);
        if (next.lapses) await this.lapse(requests.filter((_, index) => answers[index]?.kind === "acquired"));
        return;
      }
      case "checkpoint": {
        const writes = this.named(next.writes);
        const answers = await store.checkpoint(writes);
        const expected = writes.map((write): WriteResult => {
          const record = model.owned(write.eventId, write.epoch);
          if (record === undefined) return "stale";
          record.steps = [...record.steps.filter((known) => known.name !== write.step.name), write.step];
          return "written";
        });
        assert.deepEqual(answers, expected);
        return;
      }
      case "finish": {
        const writes = this.named(next.writes);
        const answers = await store.finish(writes);
        assert.deepEqual(
          answers,
          writes.map(({ eventId, epoch, outbox }) => model.end(eventId, epoch, "done", (record) => (record.outbox = outbox))),
        );
        return;
      }
      case "fail": {
        const writes = this.named(next.writes);
        const answers = await store.fail(writes.map(({ dies, ...write }) => (dies ? { ...write, death: deathOf({ atMs: diedAtMs }) } : write)));
        const expected = writes.map(({ eventId, epoch, state, reason, failures, losses, dies }) =>
          model.end(eventId, epoch, state, (record) => {
            record.reason = reason;
            record.failures += failures;
            record.losses += losses;
            if (dies && state !== "waiting") record.diedAtMs = diedAtMs;
          }),
        );
        assert.deepEqual(answers, expected);
        return;
      }
      case "revive": {
        const requests = this.named(next.requests);
        const answers = await store.revive(requests);
        assert.deepEqual(
          answers,
          requests.map((one) => model.revive(one)),
        );
        return;
      }
      case "extend": {
        const writes = this.named(next.writes);
        const answers = await store.extend(writes, next.lapses ? briefMs : longMs);
        const owned = writes.filter((write) => model.owned(write.eventId, write.epoch));
        assert.deepEqual(
          answers,
          writes.map((write) => (owned.includes(write) ? "written" : "stale")),
        );
        for (const write of owned) Object.assign(model.owned(write.eventId, write.epoch) ?? {}, { leased: true });
        if (next.lapses) await this.lapse(owned);
        return;
      }
      case "clearOutbox": {
        const eventIds = next.eventIds.map((one) => this.prefix + one);
        await store.clearOutbox(eventIds);
        for (const one of eventIds) {
          const record = model.records.get(one);
          if (record?.state === "done") record.outbox = new Uint8Array(0);
        }
        return;
      }
    }
  }

  named<T extends Target>(writes: readonly T[]): (T & { readonly epoch: number })[] {
    return writes.map((write) => {
      const named = this.prefix + write.eventId;
      return { ...write, eventId: named, epoch: (this.model.records.get(named)?.epoch ?? 1) + write.epochOffset };
    });
  }

  async lapse(entries: readonly { readonly eventId: string }[]): Promise<void> {
    await this.harness.advance(briefMs);
    this.model.lapse(entries.map((entry) => entry.eventId));
  }

  async compareRecords(): Promise<void> {
    for (const [named, record] of this.model.records) {
      const view = await this.store.read(named);
      assert.ok(view !== undefined, `expected a record of ${named}`);
      const { state, epoch, failures, losses, generation, restarts, pipelineHash, outbox, reason } = view;
      assert.deepEqual(
        { state, epoch, failures, losses, generation, restarts, pipelineHash, reason, outbox: [...outbox], steps: plainSteps(view.steps) },
        {
          state: record.state,
          epoch: record.epoch,
          failures: record.failures,
          losses: record.losses,
          generation: record.generation,
          restarts: record.restarts,
          pipelineHash: record.pipelineHash,
          reason: record.reason,
          outbox: [...record.outbox],
          steps: plainSteps(record.steps),
        },
      );
    }
  }
}

export async function checkAgainstModel(harness: RunStoreHarness, numRuns: number): Promise<void> {
  const store = await harness.open();
  let sequence = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 40 }), async (operations) => {
      const comparison = new Comparison(harness, store, `${sequence++}:`);
      for (const next of operations) await comparison.apply(next);
      await comparison.compareRecords();
    }),
    { numRuns },
  );
}
