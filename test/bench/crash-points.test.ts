// The short form of `npm run drill -- crash-points`, and that it finds what it looks for.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { Clock } from "#runtime/core/clock.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { crashEverywhere, type ScenarioReport } from "../../bench/drills/crash-points/run.ts";
import { scenarios } from "../../bench/drills/crash-points/scenarios.ts";
import { isLong } from "../support/long.ts";

const shortForm: readonly string[] = ["success", "retry-by-copy", "duplicate", "publish", "at-most-once", "queryable", "dead-letter", "drain"];

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
    const found = told(await crashEverywhere(scenarioOf("at-most-once"), { distortStore: forgetsIntents }));
    assert.ok(
      found.some((line) => line.includes("expected 'pay' to begin once at most, it began 2 times")),
      found.join("\n"),
    );
  });
});

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

/** Says that an intent is written, and writes none. */
function forgetsIntents(store: RunStore): RunStore {
  return {
    ...methodsOf(store),
    async checkpoint(writes) {
      const kept = writes.filter(({ step }) => step.state !== "intent");
      if (kept.length > 0) await store.checkpoint(kept);
      return writes.map(() => "written" as const);
    },
  };
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
