// Live settings: a document is taken as a whole or not at all, and is taken back when it makes the worker unready.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { SettingsChangedEvent } from "#runtime/core/catalogue.ts";
import { type LiveSetting, LiveSettings } from "#runtime/pipeline/live-settings.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

/** Settings of an imagined worker, each with bounds of its own. */
function world() {
  const clock = new ManualClock();
  const values = new Map<string, Record<string, unknown>>([
    ["logLevel", { logLevel: "info" }],
    ["isPaused", { isPaused: false }],
    ["retryBudget", { ratio: 0.2, windowMs: 10_000 }],
    ["dependencies.mailer.bulkhead", { concurrentMax: 16, queueMax: 64 }],
    ["dependencies.mailer.limits.all", { requestsPerMinute: 60 }],
  ]);
  const told: SettingsChangedEvent[] = [];
  const state = { waitsFor: [] as readonly string[] };
  const settingAt = (place: readonly string[]): LiveSetting => {
    const found = values.get(place.join("."));
    if (found === undefined) throw new RangeError(`expected a dependency of this worker, got '${place[1]}'`);
    return {
      read: () => ({ ...found }),
      change: (changes) => {
        if (changes["queueMax"] === 13) throw new RangeError("expected another queueMax, got 13");
        Object.assign(found, changes);
      },
    };
  };
  const live = new LiveSettings({
    clock: runtimeClock(clock),
    settingAt,
    waitsFor: () => state.waitsFor,
    tell: (event) => told.push(event),
    from: "file",
    trialMs: 1_000,
  });
  const of = (place: string): unknown => values.get(place);
  return { clock, live, told, state, of, values };
}

test("what a document says is applied, and what the next one leaves out is as it was before", () => {
  const { live, told, of } = world();
  live.offer({ logLevel: "debug", dependencies: { mailer: { bulkhead: { concurrentMax: 4 }, limits: [{ requestsPerMinute: 6 }] } } });
  assert.deepEqual(
    [of("logLevel"), of("dependencies.mailer.bulkhead"), of("dependencies.mailer.limits.all")],
    [{ logLevel: "debug" }, { concurrentMax: 4, queueMax: 64 }, { requestsPerMinute: 6 }],
  );
  live.offer({ isPaused: true, dependencies: { mailer: { bulkhead: { queueMax: 8 } } } });
  assert.deepEqual(
    [of("logLevel"), of("isPaused"), of("dependencies.mailer.bulkhead")],
    [{ logLevel: "info" }, { isPaused: true }, { concurrentMax: 16, queueMax: 8 }],
  );
  live.offer(null);
  assert.deepEqual(
    [of("isPaused"), of("dependencies.mailer.bulkhead"), of("dependencies.mailer.limits.all")],
    [{ isPaused: false }, { concurrentMax: 16, queueMax: 64 }, { requestsPerMinute: 60 }],
  );
  assert.deepEqual(
    told.map(({ state }) => state),
    ["applied", "applied", "applied"],
  );
  assert.equal(
    told[0]?.changes,
    'logLevel "info" → "debug", dependencies.mailer.bulkhead: concurrentMax 16 → 4, dependencies.mailer.limits.all: requestsPerMinute 60 → 6',
  );
});

test("what was changed by hand stays until the document says something else of it", () => {
  const { live, told, of, values } = world();
  live.offer({ logLevel: "debug" });
  Object.assign(values.get("logLevel") ?? {}, { logLevel: "trace" });
  live.offer({ logLevel: "debug", retryBudget: { ratio: 0.5 } });
  assert.deepEqual([of("logLevel"), of("retryBudget")], [{ logLevel: "trace" }, { ratio: 0.5, windowMs: 10_000 }]);
  live.offer({ logLevel: "debug", retryBudget: { ratio: 0.5 } });
  assert.equal(told.length, 2);
});

test("a document with one wrong value changes nothing, and says which", () => {
  const { live, told, of } = world();
  const wrong: readonly (readonly [document: unknown, why: RegExp])[] = [
    [{ logLevel: "loud", isPaused: true }, /logLevel: expected one of .*got "loud"/],
    [{ logLevl: "debug" }, /logLevl: unknown key; did you mean 'logLevel'/],
    [{ logLevel: "debug", dependencies: { mailer: { bulkhead: { queueMax: 13 } } } }, /expected another queueMax, got 13/],
    [{ logLevel: "debug", dependencies: { mailr: { bulkhead: { queueMax: 1 } } } }, /expected a dependency of this worker, got 'mailr'/],
    ["text", /expected object/],
  ];
  for (const [document, why] of wrong) {
    live.offer(document);
    assert.equal(told.at(-1)?.state, "refused");
    assert.match(told.at(-1)?.error ?? "", why);
    assert.match(told.at(-1)?.error ?? "", /; correct that in the live settings/);
  }
  assert.deepEqual([told.length, of("logLevel"), of("isPaused")], [wrong.length, { logLevel: "info" }, { isPaused: false }]);
});

test("a change after which the worker is not ready is taken back, and stays so until the document changes; one that lasts its trial stays", () => {
  const { clock, live, told, state, of } = world();
  const document = { dependencies: { mailer: { bulkhead: { concurrentMax: 1_000 } } } };
  live.offer(document);
  state.waitsFor = ["memory"];
  clock.advance(200);
  assert.deepEqual([told.at(-1)?.state, told.at(-1)?.error], ["rolled-back", "the worker waits for memory"]);
  assert.deepEqual(of("dependencies.mailer.bulkhead"), { concurrentMax: 16, queueMax: 64 });
  state.waitsFor = [];
  live.offer({ dependencies: { mailer: { bulkhead: { concurrentMax: 20 } } } });
  clock.advance(1_200);
  state.waitsFor = ["memory"];
  clock.advance(1_000);
  assert.deepEqual([told.at(-1)?.state, of("dependencies.mailer.bulkhead"), clock.pending], ["applied", { concurrentMax: 20, queueMax: 64 }, 0]);
  // Of a worker that was not ready before, it is not the change's fault.
  live.offer({});
  clock.advance(1_000);
  assert.deepEqual([told.at(-1)?.state, told.length], ["applied", 4]);
});

test("a second document within the trial of the first does not take its way back away", () => {
  const { clock, live, told, state, of } = world();
  live.offer({ dependencies: { mailer: { bulkhead: { concurrentMax: 1_000 } } } });
  clock.advance(200);
  state.waitsFor = ["memory"];
  live.offer({ logLevel: "debug", dependencies: { mailer: { bulkhead: { concurrentMax: 1_000 } } } });
  clock.advance(200);
  assert.equal(told.at(-1)?.state, "rolled-back");
  assert.deepEqual([of("dependencies.mailer.bulkhead"), of("logLevel")], [{ concurrentMax: 16, queueMax: 64 }, { logLevel: "info" }]);
});
