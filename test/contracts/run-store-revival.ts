// What every run store must do with runs that were given up and are brought back: a part of its contract.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { HistoryEntry } from "#runtime/core/history.ts";
import { historyMax } from "#runtime/core/history.ts";
import type { Revival, RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, deathOf, plainSteps, type RunStoreHarness, stepOf } from "./run-store-fixtures.ts";

interface Fixture {
  readonly harness: RunStoreHarness;
  readonly store: RunStore;
  readonly other: RunStore;
}

const longMs = 60_000;
const death = deathOf();
const resend = (enqueuedAtMs: number): Revival => ({ by: "resend", enqueuedAtMs });
const replay = (id: string, changes: Partial<Extract<Revival, { by: "replay" }>> = {}): Revival => {
  const order = {
    by: "replay",
    id,
    from: "checkpoint",
    patched: false,
    repeatsInDoubt: false,
    reason: "mended",
    who: "ada@desk",
    payloadHash: "payload-1",
  } as const;
  return { ...order, ...changes };
};

/** A run that has two steps, of which the last is in doubt, and was given up. */
async function giveUp(store: RunStore, eventId: string, state: "dead" | "parked" = "dead"): Promise<void> {
  await store.claim([claimOf(eventId)], longMs);
  const intent = stepOf("two", { kind: "atMostOnce", state: "intent", result: new Uint8Array(0), checksum: 0 });
  await store.checkpoint([stepOf("one"), intent].map((step) => ({ eventId, epoch: 1, step })));
  await store.fail([{ eventId, epoch: 1, state, reason: death.reason, failures: 1, losses: 2, death }]);
}

/** Without times and what was always the same. */
function toldOf(history: readonly HistoryEntry[]): readonly unknown[] {
  return history.map((entry) => {
    switch (entry.kind) {
      case "died":
        return ["died", entry.state, entry.reason, entry.generation];
      case "revived":
        return ["revived", entry.by, entry.generation, entry.from, entry.patched, entry.reason, ...(entry.who === undefined ? [] : [entry.who])];
      case "closed":
      case "cancelled":
      case "forked-from":
      case "forked-to":
      case "reconciled":
      case "published":
      case "released":
        return [entry.kind, entry.reason, entry.who];
    }
  });
}

export function revivalContract(fixture: () => Fixture): void {
  describe("revive", () => {
    test("brings a run back for a message that was enqueued after its death, behind its last step and with fresh attempts", async () => {
      const { store, other } = fixture();
      await giveUp(store, "a");
      assert.deepEqual(await other.revive([{ eventId: "a", epoch: 0, revival: resend(death.atMs + 1) }]), ["revived"]);
      const [taken] = await other.claim([claimOf("a")], longMs);
      assert.ok(taken?.kind === "acquired", taken?.kind);
      const { epoch, failures, losses, generation, restarts } = taken;
      assert.deepEqual({ epoch, failures, losses, generation, restarts }, { epoch: 2, failures: 0, losses: 0, generation: 1, restarts: 0 });
      assert.deepEqual(
        taken.steps.map(({ name }) => name),
        ["one", "two"],
      );
    });

    test("leaves a run dead for a message that was enqueued before its death, at that moment, or when none is on record", async () => {
      const { store } = fixture();
      await giveUp(store, "a");
      await store.claim([claimOf("b")], longMs);
      await store.fail([{ eventId: "b", epoch: 1, state: "dead", reason: "before there was a history", failures: 1, losses: 0 }]);
      const requests = [
        { eventId: "a", epoch: 0, revival: resend(death.atMs) },
        { eventId: "b", epoch: 0, revival: resend(death.atMs + longMs) },
        { eventId: "unknown", epoch: 0, revival: resend(death.atMs + longMs) },
      ];
      assert.deepEqual(await store.revive(requests), ["refused", "refused", "refused"]);
      assert.equal((await store.read("a"))?.state, "dead");
      assert.deepEqual((await store.claim([claimOf("a")], longMs))[0]?.kind, "dead");
    });

    test("brings a run back whatever texts its death and its order hold: halves of a character, and very many that JSON writes long", async () => {
      const { store } = fixture();
      const control = "\u0001".repeat(256);
      const deaths = { half: deathOf({ traceId: "\ud83d" }), long: deathOf({ code: control, step: control, skill: control, traceId: control }) };
      for (const [eventId, odd] of Object.entries(deaths)) {
        await store.claim([claimOf(eventId)], longMs);
        assert.deepEqual(await store.fail([{ eventId, epoch: 1, state: "dead", reason: "odd", failures: 1, losses: 0, death: odd }]), ["written"], eventId);
      }
      const requests = Object.keys(deaths).map((eventId) => ({ eventId, epoch: 0, revival: replay(`r-${eventId}`, { reason: "mended \udc00" }) }));
      assert.deepEqual(await store.revive(requests), ["revived", "revived"]);
    });

    test("lets one of two messages that were sent again bring the run back", async () => {
      const { store } = fixture();
      await giveUp(store, "a");
      const request = { eventId: "a", epoch: 0, revival: resend(death.atMs + 1) };
      assert.deepEqual(await store.revive([request, request]), ["revived", "refused"]);
      assert.equal((await store.read("a"))?.generation, 1);
    });

    test("carries a replay out once, also when its run has died again since", async () => {
      const { store } = fixture();
      await giveUp(store, "a", "parked");
      const request = { eventId: "a", epoch: 0, revival: replay("r1") };
      assert.deepEqual(await store.revive([request]), ["revived"]);
      await store.claim([claimOf("a")], longMs);
      await store.fail([{ eventId: "a", epoch: 2, state: "dead", reason: "again", failures: 1, losses: 0, death: deathOf({ generation: 1, replayId: "r1" }) }]);
      assert.deepEqual(await store.revive([request]), ["refused"]);
      assert.deepEqual(await store.revive([{ ...request, revival: replay("r2") }]), ["revived"]);
      assert.deepEqual(toldOf((await store.read("a"))?.history ?? []), [
        ["died", "parked", "REFUSED", 0],
        ["revived", "replay", 1, "checkpoint", false, "mended", "ada@desk"],
        ["died", "dead", "REFUSED", 1],
        ["revived", "replay", 2, "checkpoint", false, "mended", "ada@desk"],
      ]);
    });

    test("does not carry a replay out whose run was first seen with it, and has died", async () => {
      const { store } = fixture();
      await store.claim([claimOf("a")], longMs);
      await store.fail([{ eventId: "a", epoch: 1, state: "dead", reason: "no", failures: 1, losses: 0, death: deathOf({ replayId: "r1" }) }]);
      assert.deepEqual(await store.revive([{ eventId: "a", epoch: 0, revival: replay("r1") }]), ["refused"]);
    });

    test("forgets the steps when a replay starts over, and takes the skill's new shape", async () => {
      const { store } = fixture();
      await giveUp(store, "a");
      await store.revive([{ eventId: "a", epoch: 0, revival: replay("r1", { from: "start" }) }]);
      const [taken] = await store.claim([claimOf("a", { pipelineHash: "pipeline-2" })], longMs);
      assert.ok(taken?.kind === "acquired", taken?.kind);
      assert.deepEqual([taken.steps.length, taken.restarts, taken.generation, taken.pipelineHash], [0, 1, 1, "pipeline-2"]);
      await store.checkpoint([{ eventId: "a", epoch: 2, step: stepOf("three") }]);
      assert.deepEqual(plainSteps((await store.read("a"))?.steps ?? []), plainSteps([stepOf("three")]));
    });

    test("forgets only what is in doubt when somebody has said that it may be repeated", async () => {
      const { store } = fixture();
      await giveUp(store, "a", "parked");
      await store.revive([{ eventId: "a", epoch: 0, revival: replay("r1", { repeatsInDoubt: true }) }]);
      assert.deepEqual(
        (await store.read("a"))?.steps.map(({ name }) => name),
        ["one"],
      );
    });

    test("lets a replay alone bring another payload, and only one that says so", async () => {
      const { store } = fixture();
      await giveUp(store, "a");
      const revive = (revival: Revival): Promise<readonly string[]> => store.revive([{ eventId: "a", epoch: 0, revival }]);
      assert.deepEqual(await revive(replay("r1", { payloadHash: "payload-2" })), ["refused"]);
      assert.deepEqual(await revive(replay("r2", { payloadHash: "payload-2", patched: true })), ["revived"]);
      const kinds = await store.claim([claimOf("a"), claimOf("a", { payloadHash: "payload-2" })], longMs);
      assert.deepEqual(
        kinds.map(({ kind }) => kind),
        ["reused", "acquired"],
      );
    });

    test("gives a run that is on its way its attempts again, when whoever holds it brings a replay", async () => {
      const { store } = fixture();
      await store.claim([claimOf("a")], longMs);
      await store.fail([{ eventId: "a", epoch: 1, state: "waiting", reason: "later", failures: 1, losses: 4 }]);
      const request = claimOf("a");
      await store.claim([request], longMs);
      const revived = await store.revive([
        { eventId: "a", epoch: 1, revival: replay("r1") },
        { eventId: "a", epoch: 0, revival: replay("r1") },
        { eventId: "a", epoch: 2, revival: resend(death.atMs + 1) },
        { eventId: "a", epoch: 2, revival: replay("r1") },
      ]);
      assert.deepEqual(revived, ["refused", "refused", "refused", "revived"]);
      const [again] = await store.claim([request], longMs);
      assert.ok(again?.kind === "acquired", again?.kind);
      assert.deepEqual([again.epoch, again.failures, again.losses, again.generation], [2, 0, 0, 1]);
      assert.equal((await store.read("a"))?.reason, undefined);
    });

    test("never brings back what is done", async () => {
      const { store } = fixture();
      await store.claim([claimOf("a")], longMs);
      await store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]);
      assert.deepEqual(await store.revive([{ eventId: "a", epoch: 1, revival: replay("r1", { from: "start" }) }]), ["refused"]);
      assert.equal((await store.read("a"))?.state, "done");
    });
  });

  describe("history", () => {
    test("is told by the claim of a dead run, and by the record for as long as that is kept", async () => {
      const { store, other } = fixture();
      await giveUp(store, "a");
      const [dead] = await other.claim([claimOf("a")], longMs);
      assert.ok(dead?.kind === "dead", dead?.kind);
      assert.deepEqual(dead.history, [{ kind: "died", state: "dead", ...death }]);
      await store.revive([{ eventId: "a", epoch: 0, revival: resend(death.atMs + 1) }]);
      await store.claim([claimOf("a")], longMs);
      await store.finish([{ eventId: "a", epoch: 2, outbox: new Uint8Array(0) }]);
      assert.deepEqual(toldOf((await store.read("a"))?.history ?? []), [
        ["died", "dead", "REFUSED", 0],
        ["revived", "resend", 1, "checkpoint", false, ""],
      ]);
    });

    test("holds why a dead letter was deleted, of known runs", async () => {
      const { store } = fixture();
      await giveUp(store, "a");
      await store.close(["a", "unknown"], { reason: "not needed any more", who: "ada@desk" });
      assert.deepEqual(toldOf((await store.read("a"))?.history ?? []), [
        ["died", "dead", "REFUSED", 0],
        ["closed", "not needed any more", "ada@desk"],
      ]);
      assert.equal(await store.read("unknown"), undefined);
    });

    test("keeps the last entries", async () => {
      const { store } = fixture();
      await giveUp(store, "a");
      for (let turn = 1; turn <= historyMax + 3; turn += 1) await store.close(["a"], { reason: `turn ${turn}`, who: "ada@desk" });
      const history = toldOf((await store.read("a"))?.history ?? []);
      assert.deepEqual(
        [history.length, history.at(0), history.at(-1)],
        [historyMax, ["closed", "turn 4", "ada@desk"], ["closed", `turn ${historyMax + 3}`, "ada@desk"]],
      );
    });
  });
}
