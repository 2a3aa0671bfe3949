// The short form of `npm run drill -- crash-points`, and that it finds what it looks for.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { Clock } from "#runtime/core/clock.ts";
import type { CheckpointWrite, RunStore } from "#runtime/ports/run-store.ts";
import { crashEverywhere, type ScenarioReport } from "../../bench/drills/crash-points/run.ts";
import { scenarios } from "../../bench/drills/crash-points/scenarios.ts";
import { isLong } from "../support/long.ts";

const shortForm: readonly string[] = [
  "success",
  "retry-by-copy",
  "duplicate",
  "publish",
  "at-most-once",
  "queryable",
  "dead-letter",
  "saga",
  "suspect-mode",
  "drain",
];

function scenarioOf(name: string): (typeof scenarios)[number] {
  const scenario = scenarios.find((one) => one.name === name);
  assert.ok(scenario !== undefined, `expected a scenario ${name}`);
  return scenario;
}

function told({ violations }: ScenarioReport): readonly string[] {
  return violations.map(({ where, violations: broken }) => `${where}: ${broken.join("; ")}`);
}

describe("a crash at every call", () => {
  for (const { name } of scenarios.filter((one) => isLong || shortForm.includes(one.name))) {
    test(`keeps the promise: ${name}`, async () => {
      const report = await crashEverywhere(scenarioOf(name));
      assert.deepEqual(told(report), []);
      assert.ok(report.cases > 30, `expected more than 30 cases, got ${report.cases}`);
    });
  }
});

test("a second crash while the first one is recovered from keeps the promise", async () => {
  const report = await crashEverywhere(scenarioOf("retry-by-copy"), { second: { casesMax: isLong ? 1_000 : 80, seed: 1 } });
  assert.deepEqual(told(report), []);
  assert.ok(report.pairs > 1_000, `expected more than 1000 pairs to draw from, got ${report.pairs}`);
});

describe("the drill finds", () => {
  test("a message settled before its run is recorded as done", async () => {
    const found = told(await crashEverywhere(scenarioOf("success"), { distortStore: saysDoneFirst }));
    assert.deepEqual(told(await crashEverywhere(scenarioOf("success"), { distortStore: saysDoneFirst })), found, "expected the same cases to find the same");
    assert.ok(
      found.some((line) => line.includes("'complete'") && line.includes("record running, all messages settled")),
      found.join("\n"),
    );
  });

  test("a step that goes on before its checkpoint is durable", async () => {
    const found = told(await crashEverywhere(scenarioOf("at-most-once"), { distortStore: forgetsIntents(1) }));
    assert.ok(
      found.some((line) => line.includes("expected 'pay' to begin once at most, it began 2 times")),
      found.join("\n"),
    );
  });

  test("a run that goes forward after it has failed for good, and compensations that are not entered in its log", async () => {
    const forward = told(await crashEverywhere(scenarioOf("saga"), { distortStore: forgets(({ step }) => step.name === "~failed"), point: 19 }));
    assert.ok(
      forward.some((line) => line.includes("'undo three' of a began before its run had failed for good")),
      forward.join("\n"),
    );
    const unlogged = told(await crashEverywhere(scenarioOf("saga"), { distortStore: forgets(({ step }) => step.name.startsWith("~undo:")), point: 19 }));
    assert.ok(
      unlogged.some((line) => line.includes("'undo three' of a began with 'nothing' entered in the log of compensations")),
      unlogged.join("\n"),
    );
  });

  test("by a second crash what one crash does not show", async () => {
    const once = told(await crashEverywhere(scenarioOf("at-most-once"), { distortStore: forgetsIntents(2) }));
    assert.deepEqual(once, []);
    const claim = 5;
    const twice = told(
      await crashEverywhere(scenarioOf("at-most-once"), { distortStore: forgetsIntents(2), point: claim, second: { casesMax: 1_000, seed: 1 } }),
    );
    assert.ok(
      twice.some((line) => line.includes("expected 'pay' to begin once at most, it began 2 times")),
      twice.join("\n"),
    );
  });
});

/** Says that such steps are written, and writes none of them. */
function forgets(isForgotten: (write: CheckpointWrite) => boolean): (store: RunStore) => RunStore {
  return (store) => ({
    ...methodsOf(store),
    async checkpoint(writes) {
      const kept = writes.filter((write) => !isForgotten(write));
      if (kept.length > 0) await store.checkpoint(kept);
      return writes.map(() => "written" as const);
    },
  });
}

/** Answers that runs are done, and writes it a little later: never, should the process end before. */
function saysDoneFirst(store: RunStore, clock: Clock): RunStore {
  return {
    ...methodsOf(store),
    async finish(writes) {
      clock.after(10, () => void store.finish(writes).catch(() => undefined));
      return writes.map(() => "written" as const);
    },
  };
}

/** Says that an intent is written, and writes none, for claims from this epoch on. */
function forgetsIntents(fromEpoch: number): (store: RunStore) => RunStore {
  return forgets(({ step, epoch }) => step.state === "intent" && epoch >= fromEpoch);
}

function methodsOf(store: RunStore): RunStore {
  return {
    start: () => store.start(),
    stop: () => store.stop(),
    secret: () => store.secret(),
    ping: () => store.ping(),
    claim: (requests, leaseMs) => store.claim(requests, leaseMs),
    checkpoint: (writes) => store.checkpoint(writes),
    finish: (writes) => store.finish(writes),
    clearOutbox: (eventIds) => store.clearOutbox(eventIds),
    fail: (writes) => store.fail(writes),
    extend: (writes, leaseMs) => store.extend(writes, leaseMs),
    revive: (requests) => store.revive(requests),
    close: (eventIds, reason) => store.close(eventIds, reason),
    read: (eventId) => store.read(eventId),
  };
}
