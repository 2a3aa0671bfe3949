import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { HistoryEntry } from "#runtime/core/history.ts";
import type { RunView } from "#runtime/core/run.ts";
import type { Letter } from "#runtime/recovery/letters.ts";
import { outcomeOf } from "#runtime/recovery/outcomes.ts";
import { deathOf } from "../contracts/run-store-fixtures.ts";

const letter = { eventId: "a", code: "HTTP_503", fingerprint: deathOf().fingerprint } as Letter;
const sent = { letter, replayId: "r1" };
const revived: HistoryEntry = {
  kind: "revived",
  by: "replay",
  atMs: 1,
  generation: 1,
  from: "checkpoint",
  patched: false,
  repeatsInDoubt: false,
  reason: "",
  replayId: "r1",
};
const died: HistoryEntry = { kind: "died", state: "dead", ...deathOf() };

function view(changes: Partial<RunView>): RunView {
  const run = { epoch: 1, failures: 0, losses: 0, generation: 1, restarts: 0, pipelineHash: "p", steps: [], outbox: new Uint8Array(0), reason: undefined };
  const more = { payloadHash: "h", claim: undefined, isCancelling: false, writtenAgoMs: 0, setbacks: [] };
  return { key: { consumer: "c", eventId: "a" }, state: "running", history: [died, revived], ...run, ...more, ...changes };
}

describe("a replay", () => {
  test("has completed when its run is done and its events are published", () => {
    assert.deepEqual(outcomeOf(sent, view({ state: "done" })), { kind: "completed" });
    assert.equal(outcomeOf(sent, view({ state: "done", outbox: Uint8Array.of(1) })), undefined);
  });

  test("has not ended while its run is on its way, or is dead still as it was before", () => {
    for (const one of [undefined, view({}), view({ state: "waiting", reason: "lane-full" }), view({ state: "dead", history: [died] })])
      assert.equal(outcomeOf(sent, one), undefined);
  });

  test("has failed when its run has died again, of the same failure or of another", () => {
    const again = view({ state: "dead", history: [died, revived, died] });
    assert.deepEqual(outcomeOf(sent, again), { kind: "failed", isSame: true, fingerprint: letter.fingerprint, why: "REFUSED" });
    const other: HistoryEntry = { kind: "died", state: "parked", ...deathOf({ fingerprint: "f", reason: "OutcomeUnknown" }) };
    assert.deepEqual(outcomeOf(sent, view({ state: "parked", history: [died, revived, other] })), {
      kind: "failed",
      isSame: false,
      fingerprint: "f",
      why: "OutcomeUnknown",
    });
  });

  test("has failed in the same way when its run has failed with the same code and will be retried for long", () => {
    const outcome = outcomeOf(sent, view({ state: "waiting", failures: 1, reason: "HTTP_503" }));
    assert.equal(outcome?.kind === "failed" && outcome.isSame, true);
    assert.equal(outcomeOf(sent, view({ state: "waiting", failures: 1, reason: "HTTP_502" })), undefined);
  });
});
