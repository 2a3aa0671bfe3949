// A replay of dead letters by stages, on a broker, a store and a clock of the test's own.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { DeadLetters } from "../../bench/drills/crash-points/dead-letters.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import type { RunAnswer } from "#runtime/core/outcome.ts";
import { type Letter, type Letters, scan } from "#runtime/recovery/letters.ts";
import { type GroupReport, replayGroups, type ReplayOptions } from "#runtime/recovery/replay.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";
import { type Process, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

/** After it a message is surely newer than what went before, however far clocks may be apart. */
const clockMarginMs = 40_000;
const runMs = 2_000;

function refused(code: string): RunAnswer {
  return { kind: "failed", failure: { code, message: "no" }, retryable: false };
}

class Scene {
  readonly world: World = new World();
  readonly sentMs: number[] = [];
  readonly reports: GroupReport[] = [];
  readonly #abort = new AbortController();
  #worker: Process | undefined;
  /** What a run ends with, once it has taken its time. */
  answer: (eventId: string) => RunAnswer = () => completedAnswer;
  takesMs = runMs;

  /** So many events of each code, given up. */
  static async with(counts: Readonly<Record<string, number>>): Promise<Scene> {
    const scene = new Scene();
    const worker = await scene.world.start();
    scene.#worker = worker;
    worker.executor.script = (run) => refused(run.eventId.split("-")[0] ?? "");
    const events = Object.entries(counts).flatMap(([code, count]) => Array.from({ length: count }, (_, index) => `${code}-${index}`));
    scene.world.send(...events);
    await scene.world.clock.advance(clockMarginMs);
    assert.equal(scene.world.broker.deadLettered.length, events.length);
    worker.executor.script = async (run) => {
      await run.takes(scene.takesMs);
      return scene.answer(run.eventId);
    };
    return scene;
  }

  abort(): void {
    this.#abort.abort();
  }

  get executed(): number {
    return this.#worker?.executor.posted.length ?? 0;
  }

  async replay(options: Partial<ReplayOptions> = {}): Promise<readonly GroupReport[]> {
    const { world } = this;
    const command = world.process();
    const box = new DeadLetters(world.broker).boxFor(command.clock);
    const letters: Letters = { boxes: [box], sources: [queueName], readRoute: (delivery) => readRoute(delivery, defaultDecodeLimits) };
    const groups = new Map<string, Letter[]>();
    for await (const { letter } of scan(letters)) groups.set(letter.fingerprint, [...(groups.get(letter.fingerprint) ?? []), letter]);
    const publisher = {
      start: () => Promise.resolve(),
      stop: () => Promise.resolve(),
      send: (entity: string, messages: readonly OutgoingMessage[]): Promise<void> => {
        this.sentMs.push(world.clock.monotonicMs());
        return command.connection.send(entity, messages);
      },
    };
    const surroundings = {
      clock: command.clock,
      store: world.records,
      publisher,
      retryEntity: queueName,
      consumer: queueName,
      hashPayload: createPayloadHash(defaultDecodeLimits),
    };
    const replaying = replayGroups(letters, [...groups.values()], surroundings, {
      from: "checkpoint",
      repeatsInDoubt: false,
      reason: "mended",
      who: "ada@desk",
      patch: undefined,
      perSecond: 50,
      waitMs: 60_000,
      failuresMax: 0,
      signal: this.#abort.signal,
      progress: (report) => void this.reports.push(report),
      ...options,
    });
    return world.clock.finish("the replay to end", replaying);
  }
}

function told({ state, letters, replayed, completed, failed, why }: GroupReport): string {
  return `${state}: ${replayed} of ${letters} replayed, ${completed} completed, ${failed} failed${why === "" ? "" : ` (${why})`}`;
}

describe("a replay of a group of dead letters", () => {
  test("sends one letter, then ten once that has completed, then all at its pace", async () => {
    const scene = await Scene.with({ CARD: 31 });
    const reports = await scene.replay({ perSecond: 5 });
    assert.deepEqual(reports.map(told), ["done: 31 of 31 replayed, 31 completed, 0 failed"]);
    const { sentMs } = scene;
    const gapsMs = sentMs.slice(1).map((atMs, index) => atMs - (sentMs[index] ?? 0));
    const [afterFirst = 0] = gapsMs;
    const afterTen = gapsMs[10] ?? 0;
    assert.ok(afterFirst >= runMs && afterTen >= runMs, `waited ${afterFirst} and ${afterTen} ms`);
    const paces = gapsMs.filter((_, index) => index !== 0 && index !== 10);
    assert.ok(Math.min(...paces) >= 199 && Math.max(...paces) < 1_000, `between ${Math.min(...paces)} and ${Math.max(...paces)} ms from one to the next`);
    assert.equal(scene.world.broker.deadLettered.length, 0);
    assert.deepEqual([(await scene.world.record("CARD-7")).generation, scene.executed], [1, 62]);
  });

  test("stops at the first letter whose failure returns, and leaves the others where they are", async () => {
    const scene = await Scene.with({ CARD: 12 });
    scene.answer = () => refused("CARD");
    const [report] = await scene.replay();
    assert.equal(report && told(report), "same-failure: 1 of 12 replayed, 0 completed, 1 failed (CARD)");
    assert.equal(scene.world.broker.deadLettered.length, 12);
  });

  test("stops where it fails in another way, in the stage of ten as well", async () => {
    const scene = await Scene.with({ CARD: 30 });
    scene.answer = (eventId) => (eventId === "CARD-0" ? completedAnswer : refused("BANK"));
    const [report] = await scene.replay();
    assert.equal(report?.state, "other-failure");
    assert.ok(report.replayed <= 11 && report.completed === 1 && report.failed >= 1, told(report));
  });

  test("bears as many failures as are allowed, and no more", async () => {
    const scene = await Scene.with({ CARD: 20 });
    const hopeless = new Set(["CARD-0", "CARD-5"]);
    scene.answer = (eventId) => (hopeless.has(eventId) ? refused("CARD") : completedAnswer);
    assert.deepEqual((await scene.replay({ failuresMax: 2 })).map(told), ["done: 20 of 20 replayed, 18 completed, 2 failed (CARD)"]);
    assert.equal((await scene.replay({ failuresMax: 1 }))[0]?.state, "same-failure");
  });

  test("does not wait for longer than it may, and goes on when it is run again", async () => {
    const scene = await Scene.with({ CARD: 3 });
    scene.takesMs = 15_000;
    const [report] = await scene.replay({ waitMs: 5_000 });
    assert.equal(report && told(report), "undecided: 1 of 3 replayed, 0 completed, 0 failed");
    await scene.world.clock.advance(20_000);
    assert.deepEqual((await scene.replay()).map(told), ["done: 2 of 2 replayed, 2 completed, 0 failed"]);
    for (const id of [0, 1, 2]) assert.equal((await scene.world.record(`CARD-${id}`)).state, "done");
    assert.equal(scene.executed, 6, "expected each event to be executed once more");
  });

  test("ends behind the letter at hand when it is interrupted", async () => {
    const scene = await Scene.with({ CARD: 40 });
    scene.takesMs = 10;
    const [report] = await scene.replay({
      perSecond: 2,
      progress: ({ replayed }) => {
        if (replayed === 11) scene.world.clock.after(3_000, () => scene.abort());
      },
    });
    assert.equal(report?.state, "interrupted");
    assert.ok(report.replayed > 11 && report.replayed < 25, told(report));
    await scene.world.clock.advance(5_000);
    assert.equal(scene.world.broker.deadLettered.length, 40 - report.replayed);
  });
});

test("a group that was stopped keeps no other from its replay", async () => {
  const scene = await Scene.with({ CARD: 3, BANK: 3, CASH: 3 });
  scene.answer = (eventId) => (eventId.startsWith("BANK") ? refused("BANK") : completedAnswer);
  const reports = await scene.replay();
  assert.deepEqual(reports.map(({ state }) => state).sort(), ["done", "done", "same-failure"]);
  assert.equal(scene.world.broker.deadLettered.length, 3);
});
