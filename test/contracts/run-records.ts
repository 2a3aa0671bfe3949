// What run records must tell people, on every store. An adapter's test calls `runRecordsContract` with a way to make a fresh set of them.
import { strict as assert } from "node:assert";
import { afterEach, beforeEach, describe, test } from "node:test";
import { encodeVerdict, verdictOf } from "#runtime/core/compensation.ts";
import { cancelledLateMs, type HistoryEntry } from "#runtime/core/history.ts";
import type { RunKind, RunStanding, RunState, RunSummary } from "#runtime/core/run.ts";
import type { Cancellation, RunCreation, RunRecords } from "#runtime/ports/run-records.ts";
import type { CheckpointWrite, RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, deathOf, plainSteps, stepOf } from "./run-store-fixtures.ts";

interface Opened {
  /** Of a worker. */
  readonly store: RunStore;
  readonly records: RunRecords;
}

export interface RunRecordsHarness {
  open(overrides?: { readonly consumer?: string }): Promise<Opened>;
  /** Lets at least `ms` pass on the store's clock. */
  advance(ms: number): Promise<void>;
  stop(): Promise<void>;
}

const longMs = 60_000;
const noOutbox = new Uint8Array(0);
const every: readonly RunState[] = ["running", "waiting", "done", "dead", "parked"];
const kind: RunKind = { pipelineHash: "pipeline-1", skill: "charge", skillVersion: "1.0.0", eventType: "Ordered", steps: [], critical: false };

/** All of them, by event id, and how many pages they came on. */
async function scanAll(records: RunRecords, states: readonly RunState[] = every): Promise<{ readonly runs: Map<string, RunSummary>; readonly pages: number }> {
  const runs = new Map<string, RunSummary>();
  let pages = 0;
  let cursor: string | undefined;
  do {
    const page = await records.scan(cursor, states);
    for (const run of page.runs) runs.set(run.eventId, run);
    cursor = page.next;
    pages += 1;
  } while (cursor !== undefined);
  return { runs, pages };
}

export function runRecordsContract(name: string, makeHarness: () => Promise<RunRecordsHarness>): void {
  describe(`run records: ${name}`, () => {
    let harness: RunRecordsHarness;
    let store: RunStore;
    let records: RunRecords;

    beforeEach(async () => {
      harness = await makeHarness();
      ({ store, records } = await harness.open());
    });
    afterEach(() => harness.stop());

    test("a scan meets every record, a bounded part of them at a time", async () => {
      const ids = Array.from({ length: 2_000 }, (_, index) => `event-${index}`);
      await store.claim(
        ids.map((eventId) => claimOf(eventId)),
        longMs,
      );
      const { runs, pages } = await scanAll(records);
      assert.deepEqual([...runs.keys()].toSorted(), ids.toSorted());
      assert.ok(pages >= 3, `found ${pages} pages`);
    });

    test("a scan tells how each run stands, with its steps and outbox counted", async () => {
      await store.claim([claimOf("runs", { token: "worker:7" }), claimOf("waits"), claimOf("done"), claimOf("dead"), claimOf("parked")], longMs);
      await store.checkpoint(["one", "two"].map((step) => ({ eventId: "done", epoch: 1, step: stepOf(step) })));
      await store.finish([{ eventId: "done", epoch: 1, outbox: new Uint8Array(12) }]);
      await store.fail([
        { eventId: "waits", epoch: 1, state: "waiting", reason: "HTTP_503", failures: 1, losses: 2 },
        { eventId: "dead", epoch: 1, state: "dead", reason: "REFUSED", failures: 1, losses: 0, death: deathOf() },
        { eventId: "parked", epoch: 1, state: "parked", reason: "OutcomeUnknown", failures: 1, losses: 0, death: deathOf() },
      ]);
      const { runs } = await scanAll(records);
      const told = [...runs.keys()].toSorted().map((id) => {
        const { eventId, state, epoch, failures, losses, reason, steps, outboxBytes } = runs.get(id)!;
        return [eventId, state, epoch, failures, losses, reason, steps, outboxBytes];
      });
      assert.deepEqual(told, [
        ["dead", "dead", 1, 1, 0, "REFUSED", 0, 0],
        ["done", "done", 1, 0, 0, undefined, 2, 12],
        ["parked", "parked", 1, 1, 0, "OutcomeUnknown", 0, 0],
        ["runs", "running", 1, 0, 0, undefined, 0, 0],
        ["waits", "waiting", 1, 1, 2, "HTTP_503", 0, 0],
      ]);
      const running = runs.get("runs");
      assert.equal(running?.claim?.token, "worker:7");
      assert.ok(running.claim.leftMs > 0 && running.claim.leftMs <= longMs, String(running.claim.leftMs));
      assert.deepEqual([running.pipelineHash, running.payloadHash, runs.get("dead")?.claim], ["pipeline-1", "payload-1", undefined]);
    });

    test("a run tells the same when it is read alone", async () => {
      await store.claim([claimOf("a", { token: "worker:7" })], longMs);
      const { runs } = await scanAll(records);
      const { key: _key, steps: _steps, outbox: _outbox, history: _history, setbacks: _setbacks, ...view } = (await store.read("a"))!;
      const { eventId: _id, steps: _count, outboxBytes: _bytes, ...summary } = runs.get("a")!;
      const without = ({ claim, writtenAgoMs: _ago, ...rest }: RunStanding): unknown => ({ ...rest, token: claim?.token });
      assert.deepEqual(without(view), without(summary));
    });

    test("a lapsed lease and the time since the last write are told", async () => {
      await store.claim([claimOf("a")], 20);
      await harness.advance(40);
      const run = (await scanAll(records)).runs.get("a");
      assert.ok(run?.claim !== undefined && run.claim.leftMs <= 0, JSON.stringify(run));
      assert.ok(run.writtenAgoMs >= 40 && run.writtenAgoMs < longMs, String(run.writtenAgoMs));
    });

    test("a scan leaves out what is in other states, and what is of other consumers", async () => {
      await store.claim([claimOf("a"), claimOf("b")], longMs);
      await store.finish([{ eventId: "b", epoch: 1, outbox: noOutbox }]);
      const elsewhere = await harness.open({ consumer: "invoices" });
      await elsewhere.store.claim([claimOf("c")], longMs);
      assert.deepEqual([...(await scanAll(records, ["done", "dead"])).runs.keys()], ["b"]);
      assert.deepEqual([...(await scanAll(elsewhere.records)).runs.keys()], ["c"]);
    });

    test("a record that is made by hand is claimed as any other, behind its steps, with its history; one that exists stays as it is", async () => {
      const steps = [stepOf("two", { atMs: 1_700_000_000_123 }), stepOf("one", { atMs: 1_700_000_000_456, result: Uint8Array.of(9, 0, 9) })];
      const died: HistoryEntry = { kind: "died", state: "dead", ...deathOf() };
      const creation: RunCreation = {
        eventId: "a",
        payloadHash: "payload-1",
        pipelineHash: "pipeline-7",
        state: "waiting",
        reason: "made",
        steps,
        history: [died],
        entry: { kind: "reconciled", reason: "reconciled: its record was gone", who: "ada@desk" },
      };
      assert.equal(await records.create(creation), "created");
      assert.equal(await records.create({ ...creation, steps: [], history: [] }), "exists");
      const view = await store.read("a");
      const made = view?.history[1];
      assert.ok(made !== undefined && made.atMs > 1_600_000_000_000);
      assert.deepEqual(
        [view?.state, view?.reason, view?.epoch, view?.history],
        ["waiting", "made", 0, [died, { kind: "reconciled", reason: "reconciled: its record was gone", who: "ada@desk", atMs: made.atMs }]],
      );
      assert.deepEqual(
        view?.steps.map(({ name, atMs }) => [name, atMs]),
        [
          ["two", 1_700_000_000_123],
          ["one", 1_700_000_000_456],
        ],
      );
      const [claim] = await store.claim([claimOf("a")], longMs);
      assert.ok(claim?.kind === "acquired", claim?.kind);
      assert.deepEqual([claim.epoch, claim.pipelineHash, plainSteps(claim.steps)], [1, "pipeline-7", plainSteps(steps)]);
      assert.equal(await records.create({ ...creation, eventId: "b", state: "dead" }), "created");
      assert.equal((await store.claim([claimOf("b")], longMs))[0]?.kind, "dead");
      await store.claim([claimOf("c")], longMs);
      assert.equal(await records.create({ ...creation, eventId: "c" }), "exists");
      assert.equal((await store.read("c"))?.state, "running");
    });

    describe("a run that is called off", () => {
      const death = deathOf({ reason: "Cancelled", class: "cancelled", code: "Cancelled" });
      const verdict = encodeVerdict({ reason: "Cancelled", description: "by hand", failures: 0, losses: 0 });
      const cancel = (eventId: string, more: Partial<Cancellation> = {}): Promise<string> =>
        records.cancel({ eventId, reason: "not wanted", who: "ada@desk", death, verdict: undefined, ...more });
      const kindsOf = async (eventId: string): Promise<readonly string[]> => (await store.read(eventId))?.history.map((entry) => entry.kind) ?? [];
      const step = (name: string, epoch = 1): CheckpointWrite => ({ eventId: "a", epoch, step: stepOf(name) });

      test("ends at once where no worker has it, and has its death on record", async () => {
        await store.claim([claimOf("waits"), claimOf("lapsed")], 20);
        await store.fail([{ eventId: "waits", epoch: 1, state: "waiting", reason: "HTTP_503", failures: 1, losses: 0 }]);
        await harness.advance(40);
        for (const eventId of ["waits", "lapsed"]) {
          assert.equal(await cancel(eventId), "ended");
          const [claim] = await store.claim([claimOf(eventId)], longMs);
          assert.ok(claim?.kind === "dead" && claim.reason === "Cancelled", JSON.stringify(claim));
          assert.deepEqual(await kindsOf(eventId), ["cancelled", "died"]);
        }
      });

      test("has died by the store's clock, not by that of whoever calls it off", async () => {
        await store.claim([claimOf("a")], 20);
        await harness.advance(40);
        await cancel("a");
        const [cancelled, died] = (await store.read("a"))?.history ?? [];
        assert.ok(cancelled?.kind === "cancelled" && died?.kind === "died");
        assert.equal(cancelled.who, "ada@desk");
        assert.deepEqual([died.atMs - cancelled.atMs, died.reason, died.fingerprint], [cancelledLateMs, "Cancelled", death.fingerprint]);
      });

      test("keeps its claim until its worker gives it back, which hears of it with each step and each extension", async () => {
        await store.claim([claimOf("a")], longMs);
        assert.deepEqual(await store.checkpoint([step("one")]), ["written"]);
        assert.equal(await cancel("a"), "asked");
        const asked = await store.read("a");
        assert.deepEqual([asked?.state, asked?.isCancelling, asked?.claim !== undefined], ["running", true, true]);
        assert.equal((await scanAll(records, ["running"])).runs.get("a")?.isCancelling, true);
        assert.equal((await store.claim([claimOf("a")], longMs))[0]?.kind, "held");
        assert.deepEqual(await store.checkpoint([step("two"), step("late", 7)]), ["cancelling", "stale"]);
        assert.deepEqual(await store.extend([{ eventId: "a", epoch: 1 }], longMs), ["cancelling"]);
        const write = { eventId: "a", epoch: 1, state: "waiting", reason: "release", failures: 0, losses: 0 } as const;
        assert.deepEqual(await store.fail([write, write]), ["written", "written"]);
        const view = await store.read("a");
        assert.deepEqual([view?.state, view?.reason, view?.isCancelling, view?.steps.length], ["dead", "Cancelled", false, 2]);
        assert.deepEqual(await kindsOf("a"), ["cancelled", "died"]);
      });

      test("is done all the same when it comes to its end first", async () => {
        await store.claim([claimOf("a")], longMs);
        await cancel("a");
        assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]), ["written"]);
        assert.equal((await store.claim([claimOf("a")], longMs))[0]?.kind, "done");
        assert.equal(await cancel("a"), "done");
        assert.equal(await cancel("unknown"), "unknown");
      });

      test("is compensated by who claims it next where it has steps, whether its worker returns it or ends", async () => {
        for (const isReturned of [true, false]) {
          const eventId = isReturned ? "returned" : "left";
          await store.claim([claimOf(eventId)], isReturned ? longMs : 300);
          await store.checkpoint([{ eventId, epoch: 1, step: stepOf("one") }]);
          assert.equal(await cancel(eventId, { verdict }), "asked");
          if (isReturned) await store.fail([{ eventId, epoch: 1, state: "waiting", reason: "release", failures: 0, losses: 0 }]);
          else await harness.advance(320);
          const [claim] = await store.claim([claimOf(eventId)], longMs);
          assert.ok(claim?.kind === "acquired", claim?.kind);
          assert.deepEqual([claim.epoch, verdictOf(claim.steps)?.reason], [2, "Cancelled"]);
          assert.deepEqual(await kindsOf(eventId), ["cancelled"]);
        }
        await store.claim([claimOf("stepless")], longMs);
        await store.fail([{ eventId: "stepless", epoch: 1, state: "waiting", reason: "held", failures: 0, losses: 0 }]);
        assert.equal(await cancel("stepless", { verdict }), "ended");
        assert.equal((await store.read("stepless"))?.state, "dead");
      });
    });

    test("a step that somebody states of a parked run is found by who claims it next, and the statement stands in its history; a run that has moved stays as it is", async () => {
      await store.claim([claimOf("a"), claimOf("dead")], longMs);
      const intent = stepOf("charge", { kind: "atMostOnce", state: "intent", result: new Uint8Array(0) });
      await store.checkpoint([
        { eventId: "a", epoch: 1, step: intent },
        { eventId: "a", epoch: 1, step: stepOf("later") },
      ]);
      await store.fail([
        { eventId: "a", epoch: 1, state: "parked", reason: "OutcomeUnknown", failures: 1, losses: 0, death: deathOf({ reason: "OutcomeUnknown" }) },
        { eventId: "dead", epoch: 1, state: "dead", reason: "REFUSED", failures: 1, losses: 0, death: deathOf() },
      ]);
      const charged = stepOf("charge", { kind: "atMostOnce", result: Uint8Array.of(7) });
      const entry = { kind: "released", reason: 'the bank says "yes"', step: "charge", outcome: "done", who: "ada@desk" } as const;
      const state = (eventId: string, epoch: number): Promise<string> => records.state({ eventId, epoch, step: charged, entry });
      assert.deepEqual([await state("a", 2), await state("dead", 1), await state("unknown", 1)], ["moved", "moved", "unknown"]);
      assert.equal(await state("a", 1), "stated");
      const view = await store.read("a");
      assert.deepEqual([view?.state, view?.reason, view?.epoch], ["parked", "OutcomeUnknown", 1]);
      const last = view?.history.at(-1);
      assert.ok(last !== undefined && last.atMs > 1_600_000_000_000);
      assert.deepEqual([view?.history.length, { ...last, atMs: 0 }], [2, { ...entry, atMs: 0 }]);
      const order = { by: "replay", id: "r", from: "checkpoint", patched: false, repeatsInDoubt: true, reason: "", who: "", payloadHash: "payload-1" } as const;
      assert.deepEqual(await store.revive([{ eventId: "a", epoch: 0, revival: order }]), ["revived"]);
      assert.equal(await state("a", 1), "moved");
      const [claim] = await store.claim([claimOf("a")], longMs);
      assert.ok(claim?.kind === "acquired", claim?.kind);
      assert.deepEqual(plainSteps(claim.steps), plainSteps([stepOf("later"), charged]));
    });

    test("a run that nobody has is given up as it was seen, by the store's clock, with who did it and why; one that has moved stays as it is", async () => {
      await store.claim([claimOf("waits"), claimOf("held")], longMs);
      await store.claim([claimOf("lapsed")], 1);
      await store.fail([{ eventId: "waits", epoch: 1, state: "waiting", reason: "HTTP_503", failures: 1, losses: 0 }]);
      await harness.advance(10);
      const { atMs: _, ...death } = deathOf({ reason: "MessageLost" });
      const entry = { kind: "closed", reason: "reconciled: it is gone", who: "ada@desk" } as const;
      const giveUp = (eventId: string, epoch = 1): Promise<string> => records.giveUp({ eventId, epoch, reason: "MessageLost", death, entry });
      assert.deepEqual([await giveUp("waits", 2), await giveUp("held"), await giveUp("unknown")], ["moved", "moved", "unknown"]);
      for (const eventId of ["waits", "lapsed"]) {
        assert.equal(await giveUp(eventId), "given-up");
        assert.equal(await giveUp(eventId, 2), "moved");
        const view = await store.read(eventId);
        assert.deepEqual([view?.state, view?.reason, view?.epoch], ["dead", "MessageLost", 2]);
        const [died, closed] = view?.history ?? [];
        assert.ok(died?.kind === "died" && closed?.kind === "closed", JSON.stringify(view?.history));
        assert.deepEqual(
          [died.atMs - closed.atMs, died.fingerprint, closed.who, closed.reason],
          [cancelledLateMs, death.fingerprint, "ada@desk", entry.reason],
        );
      }
      // Whoever had it comes too late.
      assert.deepEqual(await store.finish([{ eventId: "lapsed", epoch: 1, outbox: noOutbox }]), ["stale"]);
      assert.equal((await store.read("held"))?.state, "running");
    });

    test("a run that has ended can be removed, with all that is kept of it; others stay", async () => {
      await store.claim([claimOf("runs"), claimOf("waits"), claimOf("dead")], longMs);
      await store.checkpoint([{ eventId: "dead", epoch: 1, step: stepOf("one") }]);
      await store.fail([
        { eventId: "waits", epoch: 1, state: "waiting", reason: "held", failures: 0, losses: 0 },
        { eventId: "dead", epoch: 1, state: "dead", reason: "REFUSED", failures: 1, losses: 0, death: deathOf() },
      ]);
      const answers = await Promise.all(["runs", "waits", "unknown", "dead"].map((eventId) => records.remove(eventId)));
      assert.deepEqual(answers, ["live", "live", "unknown", "removed"]);
      assert.equal(await store.read("dead"), undefined);
      const [claim] = await store.claim([claimOf("dead")], longMs);
      assert.ok(claim?.kind === "acquired" && claim.epoch === 1 && claim.steps.length === 0, JSON.stringify(claim));
      assert.deepEqual((await store.read("dead"))?.history, []);
    });

    test("what is noted of a run stands in its history with the store's time", async () => {
      await store.claim([claimOf("a")], longMs);
      await records.note("a", { kind: "forked-to", eventId: "b", reason: 'to "try"' });
      await records.note("unknown", { kind: "forked-to", eventId: "b", reason: "" });
      const [entry, ...more] = (await store.read("a"))?.history ?? [];
      assert.ok(entry !== undefined && entry.atMs > 1_600_000_000_000 && more.length === 0);
      assert.deepEqual({ ...entry, atMs: 0 }, { kind: "forked-to", eventId: "b", reason: 'to "try"', atMs: 0 });
    });

    test("kinds are what workers have named, the last word of each, for each consumer apart", async () => {
      const other = { ...kind, pipelineHash: "pipeline-2", skill: "ship", steps: ["pack", "send"], critical: true };
      await records.name([kind, { ...other, skillVersion: "0.9.0" }]);
      await records.name([other]);
      const byHash = (await records.kinds()).toSorted((one, two) => one.pipelineHash.localeCompare(two.pipelineHash));
      assert.deepEqual(byHash, [kind, other]);
      assert.deepEqual(await (await harness.open({ consumer: "invoices" })).records.kinds(), []);
    });
  });
}
