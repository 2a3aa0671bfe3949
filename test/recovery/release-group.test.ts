// Parked runs that are released together, on a broker, a store and a clock of the test's own.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import { type Death, headersOfDeath } from "#runtime/core/death.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { readReplayHeader } from "#runtime/core/replay-order.ts";
import type { GroupReport } from "#runtime/recovery/replay.ts";
import { findParked, lettersOfParked, type ParkedSelection, releaseParked } from "#runtime/recovery/release-group.ts";
import { encodeWithdrawal } from "#runtime/skills/host/step-codec.ts";
import { deathOf, stepOf } from "../contracts/run-store-fixtures.ts";
import { ReconcileWorld } from "../support/reconcile-world.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";
import { ProcessClock } from "#runtime/testing/world/sim-clock.ts";

const charged = deathOf({ reason: "OutcomeUnknown", code: "OutcomeUnknown", skill: "charging", step: "charge", fingerprint: "aaaaaaaaaaaaaaaa" });
const booked = { ...charged, skill: "booking", step: "book", fingerprint: "bbbbbbbbbbbbbbbb" };
const all: ParkedSelection = { groups: ["aaaa"], skill: undefined, step: undefined };

class Scene {
  readonly world: ReconcileWorld;
  readonly sent: string[] = [];
  /** Of those that had a statement on record when their replay was sent. */
  readonly stated: string[] = [];
  /** What becomes of a run that goes on. */
  end: "done" | "parked" = "done";

  constructor(world: ReconcileWorld) {
    this.world = world;
  }

  static async open(t: TestContext): Promise<Scene> {
    return new Scene(await ReconcileWorld.open(t));
  }

  async park(death: Omit<Death, "atMs">, eventIds: readonly string[], hasLetter = true): Promise<void> {
    const { world } = this;
    for (const eventId of eventIds) {
      await world.claim(eventId);
      const intent = stepOf(death.step, { kind: "atMostOnce", state: "intent", result: new Uint8Array(0), checksum: 0 });
      await world.store.checkpoint([{ eventId, epoch: 1, step: intent }]);
      const died = { ...death, atMs: world.clock.wallMs() };
      await world.store.fail([{ eventId, epoch: 1, state: "parked", reason: death.reason, failures: 1, losses: 0, death: died }]);
      if (hasLetter) world.letter(eventId, death.reason, headersOfDeath(died));
    }
  }

  /** `between`: happens when the runs are chosen. */
  async release(selection: ParkedSelection, between: () => Promise<unknown> = async () => undefined): Promise<readonly GroupReport[]> {
    const { world } = this;
    const process = new ProcessClock(world.clock);
    const ports = world.connect(process);
    const scene = world.scene(process, ports);
    const { signal } = new AbortController();
    const runs = await findParked({ ...scene, kinds: new Map(), signal }, selection);
    const own = await lettersOfParked(scene.letters, scene.hashPayload, runs);
    await between();
    const publisher = {
      start: async () => undefined,
      stop: async () => undefined,
      send: (_entity: string, messages: readonly OutgoingMessage[]) => this.#goOn(messages),
    };
    const surroundings = {
      clock: process,
      store: world.store,
      records: world.records,
      publisher,
      retryEntity: queueName,
      consumer: queueName,
      hashPayload: scene.hashPayload,
    };
    const statement = { outcome: "not-done", record: (step: string) => encodeWithdrawal(step) } as const;
    const wishes = { reason: "the bank says so", who: "ada", perSecond: 50, waitMs: 10_000, failuresMax: 0, signal, progress: () => undefined };
    return world.clock.finish("the release to end", releaseParked(scene.letters, runs, own, statement, surroundings, wishes));
  }

  /** As a worker would, at once. */
  async #goOn(messages: readonly OutgoingMessage[]): Promise<void> {
    const { store } = this.world;
    for (const message of messages) {
      const eventId = String(message.headers["eventId"]);
      this.sent.push(eventId);
      if ((await this.historyOf(eventId)).at(-1) === "released ada: the bank says so") this.stated.push(eventId);
      const order = readReplayHeader({ header: (name) => message.headers[name] });
      assert.ok(order !== undefined);
      const payloadHash = await this.world.hashOf(message);
      await store.revive([{ eventId, epoch: 0, revival: { by: "replay", payloadHash, ...order } }]);
      await store.claim([{ eventId, token: "w 2", payloadHash, pipelineHash: "p" }], 1_000);
      if (this.end === "done") await store.finish([{ eventId, epoch: 2, outbox: new Uint8Array(0) }]);
      else await store.fail([{ eventId, epoch: 2, state: "parked", reason: "OutcomeUnknown", failures: 1, losses: 0, death: { ...charged, atMs: 1 } }]);
    }
  }

  async historyOf(eventId: string): Promise<readonly string[]> {
    const view = await this.world.store.read(eventId);
    return (view?.history ?? []).map((entry) => ("who" in entry ? `${entry.kind} ${entry.who}: ${entry.reason}` : entry.kind));
  }

  async stateOf(eventId: string): Promise<string | undefined> {
    return (await this.world.store.read(eventId))?.state;
  }
}

const many = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `e-${index}`);

describe("parked runs that are released together", () => {
  test("each has its statement on record, with who and why, before its replay is sent; those of other groups stay", async (t) => {
    const scene = await Scene.open(t);
    await scene.park(charged, many(13));
    await scene.park(booked, ["other"]);
    const reports = await scene.release(all);
    assert.deepEqual(
      reports.map(({ state, letters, completed }) => [state, letters, completed]),
      [["done", 13, 13]],
    );
    assert.deepEqual(scene.stated, scene.sent);
    assert.deepEqual(await scene.historyOf("e-7"), ["died", "released ada: the bank says so", "revived ada: the bank says so"]);
    assert.deepEqual([await scene.stateOf("e-12"), await scene.stateOf("other"), (await scene.historyOf("other")).length], ["done", "parked", 1]);
  });

  test("a statement that does not help stops at the first one, and nothing is stated of the others", async (t) => {
    const scene = await Scene.open(t);
    scene.end = "parked";
    await scene.park(charged, many(5));
    const [report] = await scene.release(all);
    assert.equal(report?.state, "same-failure");
    assert.equal(scene.sent.length, 1);
    for (const eventId of many(5).filter((one) => !scene.sent.includes(one))) assert.deepEqual(await scene.historyOf(eventId), ["died"]);
  });

  test("are chosen by skill and step as well, and one without a dead letter is left", async (t) => {
    const scene = await Scene.open(t);
    await scene.park(charged, ["a"]);
    await scene.park(booked, ["b"]);
    await scene.park(booked, ["letterless"], false);
    await scene.release({ groups: [], skill: "booking", step: "book" });
    assert.deepEqual(
      [scene.sent, await scene.stateOf("b"), await scene.stateOf("letterless"), await scene.historyOf("letterless")],
      [["b"], "done", "parked", ["died"]],
    );
    await scene.release({ groups: [], skill: "charging", step: "book" });
    assert.deepEqual(scene.sent, ["b"]);
  });

  test("one that has moved since it was chosen is not sent", async (t) => {
    const scene = await Scene.open(t);
    await scene.park(charged, ["a"]);
    const [report] = await scene.release(all, () => scene.world.records.remove("a"));
    assert.deepEqual([scene.sent, report?.state], [[], "other-failure"]);
    assert.match(report?.why ?? "", /expected 'a' to be parked as it was a moment ago, found that it has unknown|found that it has/);
  });
});
