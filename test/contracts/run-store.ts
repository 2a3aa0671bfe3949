// What every run store must do. An adapter's test calls `runStoreContract` with a way to make a fresh set of records.
import { strict as assert } from "node:assert";
import { afterEach, beforeEach, describe, test } from "node:test";
import { encodeSetback, type Setback, setbacksMax } from "#runtime/core/setback.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { ClaimRequest, ClaimResult, RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, plainSteps, type RunStoreHarness, stepOf } from "./run-store-fixtures.ts";
import { revivalContract } from "./run-store-revival.ts";
import { checkAgainstModel } from "./run-store-model.ts";

export interface ContractOptions {
  /** How many random sequences the model is compared over. */
  readonly modelRuns: number;
  /** Whether `open` gives stores of their own on the same records; else it gives the same store each time. */
  readonly isShared: boolean;
}

/** Outlasts every test. */
const longMs = 60_000;
/** Is over after `advance(shortMs)`; nothing relies on it still being held. */
const shortMs = 20;

async function claimOne(store: RunStore, request: ClaimRequest, leaseMs: number = longMs): Promise<ClaimResult> {
  const [result, ...rest] = await store.claim([request], leaseMs);
  assert.ok(result !== undefined && rest.length === 0, "expected one answer to one request");
  return result;
}

async function acquire(store: RunStore, request: ClaimRequest, leaseMs: number = longMs): Promise<ClaimResult & { readonly kind: "acquired" }> {
  const result = await claimOne(store, request, leaseMs);
  assert.ok(result.kind === "acquired", `expected to acquire ${request.eventId}, found ${result.kind}`);
  return result;
}

const fresh = { kind: "acquired", epoch: 1, failures: 0, losses: 0, generation: 0, restarts: 0, pipelineHash: "pipeline-1", steps: [] } as const;

export function runStoreContract(name: string, makeHarness: () => Promise<RunStoreHarness>, options: ContractOptions): void {
  describe(`run store: ${name}`, () => {
    let harness: RunStoreHarness;
    let store: RunStore;
    let other: RunStore;

    beforeEach(async () => {
      harness = await makeHarness();
      store = await harness.open();
      other = await harness.open();
    });
    afterEach(() => harness.stop());

    describe("secret", () => {
      test("is one for all workers of a consumer, and another for each consumer", async () => {
        const secret = await store.secret();
        assert.match(secret, /^[\w-]{43}$/);
        assert.equal(await other.secret(), secret);
        assert.notEqual(await (await harness.open({ consumer: "invoices" })).secret(), secret);
      });

      // What is kept in memory ends with the store.
      if (options.isShared) {
        test("stays when the store is started again", async () => {
          const secret = await store.secret();
          await store.stop();
          await store.start();
          assert.equal(await store.secret(), secret);
        });
      }
    });

    describe("claim", () => {
      test("gives an unknown run to the first who asks", async () => {
        assert.deepEqual(await claimOne(store, claimOf("a")), fresh);
      });

      test("holds a duplicate until the owner's lease ends", async () => {
        await acquire(store, claimOf("a"));
        const duplicate = await claimOne(other, claimOf("a"));
        assert.ok(duplicate.kind === "held" && duplicate.forMs > 0 && duplicate.forMs <= longMs, JSON.stringify(duplicate));
      });

      test("answers a repeated claim by the same token as before", async () => {
        const request = claimOf("a");
        await acquire(store, request);
        assert.deepEqual(await claimOne(store, request), fresh);
        await store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]);
        const again = await acquire(other, request);
        assert.deepEqual([again.epoch, again.losses, again.steps.map((step) => step.name)], [1, 0, ["one"]]);
      });

      test("makes the lease last from the repeated claim", async () => {
        const request = claimOf("a");
        await acquire(store, request);
        await acquire(store, request, shortMs);
        await harness.advance(shortMs);
        assert.equal((await claimOne(other, claimOf("a"))).kind, "acquired");
      });

      test("gives a run whose lease is over to the next, with a raised epoch and one more loss, and no failure", async () => {
        await acquire(store, claimOf("a"), shortMs);
        await harness.advance(shortMs);
        const taken = await acquire(other, claimOf("a"));
        assert.deepEqual([taken.epoch, taken.losses, taken.failures], [2, 1, 0]);
      });

      test("takes a run over from a token of its own once the lease is over", async () => {
        const request = claimOf("a");
        await acquire(store, request, shortMs);
        await harness.advance(shortMs);
        assert.equal((await acquire(store, request)).epoch, 2);
      });

      test("applies the entries of one batch in order", async () => {
        const mine = claimOf("a");
        const results = await store.claim([mine, claimOf("a"), claimOf("b"), mine, claimOf("a", { payloadHash: "payload-2" })], longMs);
        assert.deepEqual(
          results.map((result) => result.kind),
          ["acquired", "held", "acquired", "acquired", "reused"],
        );
        assert.deepEqual(results[3], fresh);
      });

      test("tells an eventId that comes with another payload", async () => {
        await acquire(store, claimOf("a"));
        assert.deepEqual(await claimOne(other, claimOf("a", { payloadHash: "payload-2" })), { kind: "reused" });
        await store.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]);
        assert.deepEqual(await claimOne(other, claimOf("a", { payloadHash: "payload-2" })), { kind: "reused" });
      });

      test("keeps the first shape of the skill while steps of it are recorded, else takes the new one", async () => {
        await acquire(store, claimOf("a"), shortMs);
        await harness.advance(shortMs);
        const second = await acquire(store, claimOf("a", { pipelineHash: "pipeline-2" }), shortMs);
        assert.equal(second.pipelineHash, "pipeline-2");
        await store.checkpoint([{ eventId: "a", epoch: 2, step: stepOf("one") }]);
        await harness.advance(shortMs);
        const third = await acquire(store, claimOf("a", { pipelineHash: "pipeline-3" }));
        assert.equal(third.pipelineHash, "pipeline-2");
      });

      test("answers a large batch in its order", async () => {
        const requests = Array.from({ length: 1_203 }, (_, index) => claimOf(`event-${index}`));
        await store.claim(requests.slice(0, 1), longMs);
        await store.finish([{ eventId: "event-0", epoch: 1, outbox: Uint8Array.of(7) }]);
        await acquire(other, claimOf("event-777"));
        const results = await store.claim(requests, longMs);
        assert.equal(results.length, requests.length);
        const odd = results.flatMap((result, index) => (result.kind === "acquired" ? [] : [[index, result.kind]]));
        assert.deepEqual(odd, [
          [0, "done"],
          [777, "held"],
        ]);
      });

      test("takes a lease that is no whole number", async () => {
        await acquire(store, claimOf("a"), longMs + 0.5);
        assert.deepEqual(await store.extend([{ eventId: "a", epoch: 1 }], longMs / 7), ["written"]);
        assert.equal((await claimOne(other, claimOf("a"))).kind, "held");
      });

      test("answers an empty batch", async () => {
        assert.deepEqual(await store.claim([], longMs), []);
        assert.deepEqual(await store.finish([]), []);
      });

      test("keeps the runs of different consumers apart", async () => {
        const elsewhere = await harness.open({ consumer: "topic/subscription {odd}" });
        await acquire(store, claimOf("a"));
        assert.deepEqual(await claimOne(elsewhere, claimOf("a", { payloadHash: "payload-2" })), fresh);
        assert.equal((await claimOne(elsewhere, claimOf("a"))).kind, "reused");
      });

      test("gives each run to exactly one of many who race for it", async () => {
        const stores = [store, other, await harness.open(), await harness.open()];
        const ids = Array.from({ length: 60 }, (_, index) => `raced-${index}`);
        const answers = await Promise.all(
          stores.map((racer, turn) =>
            Promise.all(
              [0, 1, 2].map((part) =>
                racer.claim(
                  rotated(ids, turn * 15 + part * 20).map((id) => claimOf(id)),
                  longMs,
                ),
              ),
            ),
          ),
        );
        const owners = answers.flat(2).filter((result) => result.kind === "acquired");
        const held = answers.flat(2).filter((result) => result.kind === "held");
        assert.deepEqual([owners.length, held.length], [60, 60 * 11]);
      });
    });

    describe("checkpoint", () => {
      test("hands the steps to the next owner, byte for byte, in the order they were written", async () => {
        await acquire(store, claimOf("a"), shortMs);
        const every = Uint8Array.from({ length: 256 }, (_, index) => index);
        const steps = [
          stepOf("one", { result: every }),
          stepOf("two", { kind: "atMostOnce", state: "intent", result: new Uint8Array(0), checksum: 0, codec: 3 }),
          stepOf("drei/ü", { kind: "queryable" }),
          stepOf("four", { kind: "idempotent", result: new Uint8Array(200_000).fill(9) }),
        ];
        const written = await store.checkpoint(steps.map((step) => ({ eventId: "a", epoch: 1, step })));
        assert.deepEqual(written, ["written", "written", "written", "written"]);
        await harness.advance(shortMs);
        const taken = await acquire(other, claimOf("a"));
        assert.deepEqual(plainSteps(taken.steps), plainSteps(steps));
        assert.ok(taken.steps.every((step) => step.atMs > 0));
      });

      test("keeps many steps in the order they were written", async () => {
        await acquire(store, claimOf("a"));
        const names = Array.from({ length: 300 }, (_, index) => `step-${(index * 7) % 300}`);
        await store.checkpoint(names.map((step) => ({ eventId: "a", epoch: 1, step: stepOf(step) })));
        const view = await store.read("a");
        assert.deepEqual(
          view?.steps.map((step) => step.name),
          names,
        );
      });

      test("replaces a step of the same name", async () => {
        await acquire(store, claimOf("a"));
        await store.checkpoint([
          { eventId: "a", epoch: 1, step: stepOf("one", { state: "intent" }) },
          { eventId: "a", epoch: 1, step: stepOf("two") },
          { eventId: "a", epoch: 1, step: stepOf("one", { result: Uint8Array.of(1) }) },
        ]);
        const view = await store.read("a");
        assert.deepEqual(plainSteps(view?.steps ?? []), plainSteps([stepOf("two"), stepOf("one", { result: Uint8Array.of(1) })]));
      });

      test("refuses a stale owner and writes nothing of it, while the rest of the batch is written", async () => {
        await acquire(store, claimOf("a"), shortMs);
        await harness.advance(shortMs);
        await acquire(other, claimOf("a"));
        await acquire(store, claimOf("b"));
        const written = await store.checkpoint([
          { eventId: "a", epoch: 1, step: stepOf("stale") },
          { eventId: "b", epoch: 1, step: stepOf("one") },
          { eventId: "unknown", epoch: 1, step: stepOf("one") },
          { eventId: "a", epoch: 2, step: stepOf("one") },
        ]);
        assert.deepEqual(written, ["stale", "written", "stale", "written"]);
        assert.deepEqual(
          (await store.read("a"))?.steps.map((step) => step.name),
          ["one"],
        );
      });

      test("is refused once the run is finished or given up", async () => {
        await store.claim([claimOf("a"), claimOf("b")], longMs);
        await store.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]);
        await store.fail([{ eventId: "b", epoch: 1, state: "waiting", reason: "later", failures: 1, losses: 0 }]);
        const written = await store.checkpoint(["a", "b"].map((eventId) => ({ eventId, epoch: 1, step: stepOf("late") })));
        assert.deepEqual(written, ["stale", "stale"]);
      });

      test("is accepted from an owner whose lease lapsed while nobody took over", async () => {
        await acquire(store, claimOf("a"), shortMs);
        await harness.advance(shortMs);
        assert.deepEqual(await store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]), ["written"]);
      });
    });

    describe("finish", () => {
      test("makes every later claim done, with the outbox until it is cleared", async () => {
        const outbox = Uint8Array.of(0, 1, 254, 255, 58, 0);
        await acquire(store, claimOf("a"));
        assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox }]), ["written"]);
        const before = await claimOne(other, claimOf("a"));
        assert.ok(before.kind === "done");
        assert.deepEqual([...before.outbox], [...outbox]);
        await store.clearOutbox(["a", "unknown"]);
        const after = await claimOne(other, claimOf("a"));
        assert.ok(after.kind === "done");
        assert.equal(after.outbox.length, 0);
      });

      test("said twice is written both times and changes nothing", async () => {
        await acquire(store, claimOf("a"));
        await store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]);
        await store.clearOutbox(["a"]);
        assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]), ["written"]);
        assert.equal((await store.read("a"))?.outbox.length, 0);
      });

      test("keeps the steps readable", async () => {
        await acquire(store, claimOf("a"));
        await store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]);
        await store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(5) }]);
        const view = await other.read("a");
        assert.deepEqual(plainSteps(view?.steps ?? []), plainSteps([stepOf("one")]));
        assert.deepEqual(
          [view?.state, view?.epoch, view?.failures, view?.losses, view?.generation, view?.pipelineHash, view?.reason],
          ["done", 1, 0, 0, 0, "pipeline-1", undefined],
        );
        assert.deepEqual([...(view?.outbox ?? [])], [5]);
      });

      test("is refused to a stale owner, then and after the new one finished", async () => {
        await acquire(store, claimOf("a"), shortMs);
        await harness.advance(shortMs);
        await acquire(other, claimOf("a"));
        assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]), ["stale"]);
        assert.deepEqual(await other.finish([{ eventId: "a", epoch: 2, outbox: Uint8Array.of(2) }]), ["written"]);
        assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]), ["stale"]);
        assert.deepEqual([...((await store.read("a"))?.outbox ?? [])], [2]);
      });

      test("is accepted from an owner whose lease lapsed while nobody took over", async () => {
        await acquire(store, claimOf("a"), shortMs);
        await harness.advance(shortMs);
        assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]), ["written"]);
      });

      test("stores the steps that come with it behind those on record, and none of a stale owner", async () => {
        await acquire(store, claimOf("a"), shortMs);
        await store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]);
        await harness.advance(shortMs);
        await acquire(other, claimOf("a"));
        const every = Uint8Array.from({ length: 256 }, (_, index) => index);
        const steps = [stepOf("two", { kind: "idempotent", result: every }), stepOf("drei/ü;:", { result: new Uint8Array(0) }), stepOf("one", { codec: 7 })];
        const outbox = Uint8Array.of(59, 58, 0);
        assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox, steps: [stepOf("stale")] }]), ["stale"]);
        assert.deepEqual(await other.finish([{ eventId: "a", epoch: 2, outbox, steps }]), ["written"]);
        assert.deepEqual(await other.finish([{ eventId: "a", epoch: 2, outbox, steps }]), ["written"]);
        const view = await store.read("a");
        assert.deepEqual([view?.state, [...(view?.outbox ?? [])], plainSteps(view?.steps ?? [])], ["done", [...outbox], plainSteps(steps)]);
        await acquire(store, claimOf("b"));
        await store.finish([{ eventId: "b", epoch: 1, outbox: new Uint8Array(0), steps: steps.slice(0, 1) }]);
        assert.deepEqual(plainSteps((await store.read("b"))?.steps ?? []), plainSteps(steps.slice(0, 1)));
        assert.equal((await store.read("b"))?.outbox.length, 0);
      });

      test("carries large outboxes in one batch", async () => {
        const ids = Array.from({ length: 40 }, (_, index) => `large-${index}`);
        await store.claim(
          ids.map((id) => claimOf(id)),
          longMs,
        );
        const outbox = new Uint8Array(100_000).fill(200);
        const written = await store.finish(ids.map((eventId) => ({ eventId, epoch: 1, outbox })));
        assert.ok(written.length === ids.length && written.every((result) => result === "written"));
        assert.equal((await store.read("large-39"))?.outbox.length, 100_000);
      });
    });

    describe("fail", () => {
      test("lets the next claim of a waiting run in at once", async () => {
        await acquire(store, claimOf("a"));
        const written = await store.fail([{ eventId: "a", epoch: 1, state: "waiting", reason: "HTTP_503", failures: 1, losses: 0 }]);
        assert.deepEqual(written, ["written"]);
        const view = await store.read("a");
        assert.deepEqual([view?.state, view?.reason, view?.failures, view?.losses], ["waiting", "HTTP_503", 1, 0]);
        const next = await acquire(other, claimOf("a"));
        assert.deepEqual([next.epoch, next.failures, next.losses], [2, 1, 0]);
        assert.equal((await store.read("a"))?.reason, undefined);
      });

      test("counts nothing of a claim that was given back", async () => {
        await acquire(store, claimOf("a"));
        const release = { eventId: "a", epoch: 1, state: "waiting", reason: "released", failures: 0, losses: 0 } as const;
        assert.deepEqual(await store.fail([release, release]), ["written", "written"]);
        assert.equal((await store.read("a"))?.failures, 0);
        const next = await acquire(store, claimOf("a"));
        assert.deepEqual([next.epoch, next.failures, next.losses], [2, 0, 0]);
      });

      test("counts executions that ended with their thread apart from failures, once for a write that comes twice", async () => {
        await acquire(store, claimOf("a"));
        const lost = { eventId: "a", epoch: 1, state: "waiting", reason: "released", failures: 1, losses: 3 } as const;
        assert.deepEqual(await store.fail([lost, lost]), ["written", "written"]);
        const next = await acquire(store, claimOf("a"), shortMs);
        assert.deepEqual([next.epoch, next.failures, next.losses], [2, 1, 3]);
        await harness.advance(shortMs);
        const taken = await acquire(other, claimOf("a"));
        assert.deepEqual([taken.epoch, taken.failures, taken.losses], [3, 1, 4]);
      });

      for (const state of ["dead", "parked"] as const) {
        test(`makes every later claim of a ${state} run tell its reason`, async () => {
          await acquire(store, claimOf("a"));
          await store.fail([{ eventId: "a", epoch: 1, state, reason: "InvalidPayload: ü", failures: 1, losses: 0 }]);
          assert.deepEqual(await claimOne(other, claimOf("a")), { kind: "dead", reason: "InvalidPayload: ü", history: [] });
          assert.equal((await store.read("a"))?.state, state);
          assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]), ["stale"]);
        });
      }

      test("is refused to a stale owner and after the run is done", async () => {
        await store.claim([claimOf("a"), claimOf("b")], shortMs);
        await harness.advance(shortMs);
        await acquire(other, claimOf("a"));
        await store.finish([{ eventId: "b", epoch: 1, outbox: new Uint8Array(0) }]);
        const written = await store.fail(["a", "b"].map((eventId) => ({ eventId, epoch: 1, state: "dead", reason: "no", failures: 1, losses: 0 })));
        assert.deepEqual(written, ["stale", "stale"]);
        assert.deepEqual([(await store.read("a"))?.state, (await store.read("b"))?.state], ["running", "done"]);
      });
    });

    describe("extend", () => {
      test("makes the lease last from now", async () => {
        await acquire(store, claimOf("a"), shortMs);
        assert.deepEqual(await store.extend([{ eventId: "a", epoch: 1 }], longMs), ["written"]);
        await harness.advance(shortMs);
        assert.equal((await claimOne(other, claimOf("a"))).kind, "held");
      });

      test("is refused to a stale owner, for runs that ended and for unknown ones", async () => {
        await store.claim([claimOf("a"), claimOf("b")], shortMs);
        await harness.advance(shortMs);
        await acquire(other, claimOf("a"));
        await store.finish([{ eventId: "b", epoch: 1, outbox: new Uint8Array(0) }]);
        const written = await store.extend(
          ["a", "b", "unknown"].map((eventId) => ({ eventId, epoch: 1 })),
          longMs,
        );
        assert.deepEqual(written, ["stale", "stale", "stale"]);
      });
    });

    describe("retention", () => {
      test("forgets a record and its steps once they are past it, counted from the last write", async () => {
        const brief = await harness.open({ retentionMs: 150 });
        await brief.claim([claimOf("a"), claimOf("b")], longMs);
        await brief.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]);
        await brief.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]);
        await harness.advance(150);
        assert.equal(await brief.read("a"), undefined);
        assert.deepEqual(await brief.finish([{ eventId: "b", epoch: 1, outbox: new Uint8Array(0) }]), ["stale"]);
        assert.deepEqual(await brief.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]), ["stale"]);
        assert.deepEqual(await claimOne(brief, claimOf("a", { payloadHash: "payload-2" })), fresh);
        assert.deepEqual((await brief.read("a"))?.steps, []);
      });

      if (options.isShared)
        test("starts over with every kind of write", async () => {
          const brief = await harness.open({ retentionMs: shortMs });
          const writes: Record<string, (eventId: string) => Promise<unknown>> = {
            claimed: (eventId) => store.claim([claimOf(eventId, { token: "mine" })], longMs),
            checkpointed: (eventId) => store.checkpoint([{ eventId, epoch: 1, step: stepOf("one") }]),
            finished: (eventId) => store.finish([{ eventId, epoch: 1, outbox: Uint8Array.of(1) }]),
            failed: (eventId) => store.fail([{ eventId, epoch: 1, state: "waiting", reason: "", failures: 1, losses: 0 }]),
            extended: (eventId) => store.extend([{ eventId, epoch: 1 }], longMs),
          };
          const kept: string[] = [];
          for (const [eventId, write] of Object.entries(writes)) {
            // A brief record may be gone before the write reaches it on a slow machine: then the write says so and it is made again.
            for (let found = false; !found;) {
              await brief.claim([claimOf(eventId, { token: "mine" })], longMs);
              const answer = await write(eventId);
              found = !JSON.stringify(answer).includes("stale");
            }
            await harness.advance(shortMs);
            if ((await store.read(eventId)) !== undefined) kept.push(eventId);
          }
          assert.deepEqual(kept, Object.keys(writes));
        });
    });

    describe("read", () => {
      test("says undefined of an unknown run", async () => {
        assert.equal(await store.read("unknown"), undefined);
      });

      test("shows a running run as soon as its claim", async () => {
        await acquire(store, claimOf("a", { token: "worker:1" }));
        const { claim, writtenAgoMs, ...view } = (await other.read("a"))!;
        assert.ok(claim?.token === "worker:1" && claim.leftMs > 0 && claim.leftMs <= longMs, JSON.stringify(claim));
        assert.ok(writtenAgoMs >= 0 && writtenAgoMs < longMs, String(writtenAgoMs));
        assert.deepEqual(
          { ...view, outbox: [...view.outbox], key: view.key.eventId },
          {
            key: "a",
            state: "running",
            epoch: 1,
            failures: 0,
            losses: 0,
            generation: 0,
            restarts: 0,
            pipelineHash: "pipeline-1",
            payloadHash: "payload-1",
            steps: [],
            outbox: [],
            reason: undefined,
            isCancelling: false,
            history: [],
            setbacks: [],
          },
        );
      });

      test("keeps the last claims that ended without success, with the store's time, and none of others", async () => {
        const setback = (attempt: number): Omit<Setback, "atMs"> => ({
          kind: "failed",
          why: "HTTP_503",
          description: 'with "quotes"',
          attempt,
          delayMs: 30_000,
          worker: "w",
          waitedMs: 5,
          waitedFor: "the bulkhead of mailer",
          renewals: 0,
          calls: ["mailer failed"],
        });
        for (let attempt = 1; attempt <= setbacksMax + 3; attempt += 1) {
          const { epoch } = await acquire(store, claimOf("a"));
          const write = {
            eventId: "a",
            epoch,
            state: "waiting",
            reason: "HTTP_503",
            failures: 1,
            losses: 0,
            setback: encodeSetback(setback(attempt)),
          } as const;
          // Said twice it is kept once.
          assert.deepEqual(await store.fail([write, write]), ["written", "written"]);
        }
        await acquire(store, claimOf("b"));
        await store.fail([{ eventId: "b", epoch: 1, state: "waiting", reason: "release", failures: 0, losses: 0 }]);
        const setbacks = (await other.read("a"))?.setbacks ?? [];
        assert.ok(setbacks.every(({ atMs }) => Number.isSafeInteger(atMs) && atMs > 1_600_000_000_000));
        assert.deepEqual(
          setbacks.map(({ atMs: _, ...rest }) => rest),
          Array.from({ length: setbacksMax }, (_, index) => setback(index + 4)),
        );
        assert.deepEqual((await other.read("b"))?.setbacks, []);
      });

      test("keeps answers of calls of the last claim that has some, whatever texts are beside them", async () => {
        const plain = {
          kind: "given-up",
          why: "",
          description: ',"answers":{}',
          delayMs: 0,
          worker: "w",
          waitedMs: 0,
          waitedFor: "",
          renewals: 0,
          calls: [],
        } as const;
        const given = [{ bank: "AAEC" }, undefined, { bank: "Aw==", mailer: "BA==" }, undefined];
        for (const [attempt, answers] of given.entries()) {
          const { epoch } = await acquire(store, claimOf("a"));
          const setback = encodeSetback({ ...plain, attempt, ...(answers === undefined ? {} : { answers }) });
          await store.fail([{ eventId: "a", epoch, state: "waiting", reason: "HTTP_503", failures: 1, losses: 0, setback }]);
        }
        const setbacks = (await other.read("a"))?.setbacks ?? [];
        assert.deepEqual(
          setbacks.map(({ attempt, description, answers }) => [attempt, description, answers]),
          [0, 1, 2, 3].map((attempt) => [attempt, plain.description, attempt === 2 ? given[2] : undefined]),
        );
      });
    });

    revivalContract(() => ({ harness, store, other }));

    test("ping tells whether it serves, and a stopped store refuses until it is started again", async () => {
      assert.equal(await store.ping(), true);
      await store.stop();
      await store.stop();
      assert.equal(await store.ping(), false);
      await assert.rejects(store.claim([claimOf("a")], longMs), StoreUnavailableError);
      await store.start();
      assert.equal(await store.ping(), true);
      assert.deepEqual(await claimOne(store, claimOf("a")), fresh);
    });

    test("behaves as the model does over random sequences of operations", { timeout: 60_000 }, () => checkAgainstModel(harness, options.modelRuns));
  });
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}
