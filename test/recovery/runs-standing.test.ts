import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { RunView } from "#runtime/core/run.ts";
import { progressOf } from "#runtime/recovery/runs-progress.ts";
import { standingOf } from "#runtime/recovery/runs-standing.ts";
import { deathOf, stepOf } from "../contracts/run-store-fixtures.ts";

test("a run that was called off with a step in doubt is said to need a look at its dependency, and another not", () => {
  const intent = stepOf("charge", { kind: "atMostOnce", state: "intent", result: new Uint8Array(0), checksum: 0 });
  const run = {
    epoch: 1,
    failures: 0,
    losses: 0,
    generation: 0,
    restarts: 0,
    pipelineHash: "p",
    payloadHash: "h",
    outbox: new Uint8Array(0),
    claim: undefined,
  };
  const history = [{ kind: "died", state: "dead", ...deathOf({ reason: "Cancelled" }) } as const];
  const more = { isCancelling: false, writtenAgoMs: 0, setbacks: [], history };
  const view: RunView = { key: { consumer: "c", eventId: "a" }, state: "dead", reason: "Cancelled", steps: [intent], ...run, ...more };
  const found = { messages: [], letters: [], cutShort: [] };
  const nowOf = (inDoubt: string | undefined): string => standingOf({ view, progress: progressOf(view, undefined), found, nowMs: 0, inDoubt }).now;
  assert.match(nowOf("charge"), /^given up as Cancelled .*; its step charge may have happened: look in the dependency whether it has/);
  assert.doesNotMatch(nowOf(undefined), /may have happened/);
});
