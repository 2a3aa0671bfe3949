// Plans of trouble: read from files, the same from the same seed, carried out on a virtual clock.
import { strict as assert } from "node:assert";
import { globSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { begin, carryOutPlan, occurrencesOf, parsePlan, readPlan, type Trouble, type Victims } from "#load/faults/plan.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

const plans = resolve(import.meta.dirname, "../../load/faults/plans");

/** Writes down what is done to the victims. */
function witnessed(log: string[]): Victims {
  const proxy = (name: string) => ({
    add: (toxic: { readonly kind: string }) => Promise.resolve(log.push(`${name} ${toxic.kind}`)),
    remove: (id: number) => Promise.resolve(void log.push(`${name} over ${id}`)),
  });
  const process = {
    kill: () => Promise.resolve(void log.push("kill")),
    stop: () => Promise.resolve(void log.push("stop")),
    start: () => Promise.resolve(void log.push("start")),
    freeze: () => void log.push("freeze"),
    thaw: () => void log.push("thaw"),
  };
  return {
    proxies: new Map([
      ["store", proxy("store")],
      ["broker", proxy("broker")],
    ]),
    broker: {
      add: (fault) => Promise.resolve({ id: log.push(`broker ${JSON.stringify(fault)}`) }),
      remove: () => Promise.resolve(void log.push("broker over")),
    },
    processes: new Map([["worker", process]]),
    dependencies: {
      behave: (name, behaviour) => Promise.resolve(void log.push(`${name} ${JSON.stringify(behaviour)}`)),
      calm: (name) => Promise.resolve(void log.push(`${name} calm`)),
    },
  };
}

describe("a plan of faults", () => {
  test("of those that come with the project is read and names what it hurts", () => {
    const files = globSync("*.json", { cwd: plans });
    assert.ok(files.length >= 3, `found ${files.join()}`);
    for (const file of files) assert.ok(occurrencesOf(readPlan(join(plans, file))).length > 0, file);
  });

  test("that is wrong is refused", () => {
    const entry = { atMs: 0, lastsMs: 10, trouble: { of: "network", to: "store", toxic: { kind: "latency", latencyMs: 5 } } } as const;
    assert.equal(parsePlan({ about: "x", entries: [entry] }).entries.length, 1);
    assert.throws(() => parsePlan({ about: "x", entries: [{ ...entry, atMs: -1 }] }), /atMs/);
    const toxic = { kind: "latency", latencyMs: 5, lateness: 4 } as unknown as { kind: "latency"; latencyMs: number };
    assert.throws(() => parsePlan({ about: "x", entries: [{ ...entry, trouble: { of: "network", to: "store", toxic } }] }), /lateness/);
  });

  test("draws its times from the seed, in order, as often as was asked for", () => {
    const input = (seed: number) => ({
      about: "x",
      seed,
      entries: [
        { atMs: 1_000, lastsMs: 50, laterMs: 400, times: 5, everyMs: 500, trouble: { of: "process", name: "worker", deed: "kill" } as const },
        { atMs: 0, lastsMs: 10, trouble: { of: "broker", kind: "throttle" } as const },
      ],
    });
    const all = occurrencesOf(parsePlan(input(4)));
    assert.deepEqual(all, occurrencesOf(parsePlan(input(4))));
    assert.notDeepEqual(all, occurrencesOf(parsePlan(input(5))));
    assert.equal(all.length, 6);
    assert.equal(all[0]?.trouble.of, "broker");
    all.slice(1).forEach(({ beginsMs, endsMs }, time) => {
      assert.ok(beginsMs >= 1_000 + time * 500 && beginsMs < 1_400 + time * 500);
      assert.equal(Math.round(endsMs - beginsMs), 50);
    });
  });

  test("hurts each kind of victim, and ends what it began", async () => {
    const doneBy = async (trouble: Trouble): Promise<readonly string[]> => {
      const log: string[] = [];
      const end = await begin(trouble, witnessed(log));
      log.push("-");
      await end();
      return log;
    };
    const parsed = (trouble: unknown): Trouble => parsePlan({ about: "x", entries: [{ atMs: 0, lastsMs: 1, trouble: trouble as never }] }).entries[0]!.trouble;
    assert.deepEqual(await doneBy(parsed({ of: "network", to: "store", toxic: { kind: "down" } })), ["store down", "-", "store over 1"]);
    assert.deepEqual(await doneBy(parsed({ of: "broker", kind: "drop", rate: 0.5 })), ['broker {"kind":"drop","rate":0.5}', "-", "broker over"]);
    assert.deepEqual(await doneBy(parsed({ of: "process", name: "worker", deed: "kill" })), ["kill", "-", "start"]);
    assert.deepEqual(await doneBy(parsed({ of: "process", name: "worker", deed: "stop" })), ["freeze", "-", "thaw"]);
    assert.deepEqual(await doneBy(parsed({ of: "process", name: "worker", deed: "restart" })), ["stop", "-", "start"]);
    const refusing = { failureRate: 1, failureStatus: 429, retryAfterMs: 2_000 };
    assert.deepEqual(await doneBy(parsed({ of: "dependency", name: "notifier", behaviour: refusing })), [
      `notifier ${JSON.stringify(refusing)}`,
      "-",
      "notifier calm",
    ]);
    await assert.rejects(doneBy(parsed({ of: "network", to: "nobody", toxic: { kind: "down" } })), /one of store, broker, the plan names nobody/);
  });

  test("is carried out at its times, and what is under way at the signal is ended", async () => {
    const manual = new ManualClock(0);
    const log: string[] = [];
    const plan = parsePlan({
      about: "x",
      entries: [
        { atMs: 100, lastsMs: 200, trouble: { of: "network", to: "broker", toxic: { kind: "reset" } } },
        { atMs: 1_000, lastsMs: 5_000, trouble: { of: "process", name: "worker", deed: "stop" } },
        { atMs: 60_000, lastsMs: 1, trouble: { of: "process", name: "worker", deed: "kill" } },
      ],
    });
    const stop = new AbortController();
    const carried = carryOutPlan(plan, witnessed(log), runtimeClock(manual), stop.signal);
    const reach = async (ms: number, wanted: readonly string[]): Promise<void> => {
      manual.advance(ms - manual.now());
      await eventually(wanted.join(), () => log.join() === wanted.join());
    };
    await reach(99, []);
    await reach(100, ["broker reset"]);
    await eventually("its end to be planned", () => manual.pending === 3);
    await reach(300, ["broker reset", "broker over 1"]);
    await reach(1_500, ["broker reset", "broker over 1", "freeze"]);
    stop.abort();
    const happened = await carried;
    assert.deepEqual(log, ["broker reset", "broker over 1", "freeze", "thaw"]);
    assert.deepEqual(
      happened.map(({ beganMs, endedMs }) => [beganMs, endedMs]),
      [
        [100, 300],
        [1_500, 1_500],
      ],
    );
  });

  test("ends what is under way where a trouble cannot begin, and says why", async () => {
    const manual = new ManualClock(0);
    const log: string[] = [];
    const plan = parsePlan({
      about: "x",
      entries: [
        { atMs: 0, lastsMs: 60_000, trouble: { of: "process", name: "worker", deed: "stop" } },
        { atMs: 10, lastsMs: 1, trouble: { of: "process", name: "nobody", deed: "stop" } },
        { atMs: 20, lastsMs: 1, trouble: { of: "process", name: "worker", deed: "kill" } },
      ],
    });
    const carried = carryOutPlan(plan, witnessed(log), runtimeClock(manual));
    const refused = assert.rejects(carried, /the plan names nobody/);
    manual.advance(10);
    await refused;
    assert.deepEqual([log, manual.pending], [["freeze", "thaw"], 0]);
  });
});
