// What cannot be sent, for good or for a while, and what goes wrong with one message of many: it alone pays, in words.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { RunAnswer } from "#runtime/core/outcome.ts";
import { SendError, TransportError } from "#runtime/core/errors.ts";
import { decodeOutbox } from "#runtime/core/outbox.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { oddNames } from "../support/odd-names.ts";
import { outputEntity, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";

type Refuses = (entity: string, message: OutgoingMessage) => TransportError | undefined;

const missing = new TransportError("expected to send to nowhere, found amqp:not-found; create it", { isPermanent: true });
const full = new TransportError("expected to send to output, found amqp:resource-limit-exceeded; drain it");

interface Bench {
  readonly world: World;
  readonly worker: Process;
  /** What is not taken from now on. */
  refuses: Refuses;
  /** Sends that were made, the messages of each. */
  readonly sends: string[][];
}

/** A worker whose skill emits one event; its type says where it goes. */
async function start(typeOf: (eventId: string) => string, refuses: Refuses): Promise<Bench> {
  const world = new World();
  const sends: string[][] = [];
  const publisher: Publisher = {
    start: async () => undefined,
    stop: async () => undefined,
    async send(entity, messages) {
      sends.push(messages.map(({ messageId }) => messageId));
      const failed = new Map<OutgoingMessage, TransportError>();
      for (const message of messages) {
        const error = bench.refuses(entity, message);
        if (error === undefined) world.broker.accept(entity, [message]);
        else failed.set(message, error);
      }
      if (failed.size > 0) throw new SendError(failed);
    },
  };
  const entityFor = (eventType: string): string => (eventType === "Lost" ? "nowhere" : outputEntity);
  const worker = await world.start({ publisher, entityFor });
  const bench: Bench = { world, worker, refuses, sends };
  worker.executor.script = ({ eventId }) => ({
    kind: "completed",
    outbox: [{ messageId: `${eventId}:0`, body: new Uint8Array(1), headers: { eventType: typeOf(eventId) } }],
  });
  return bench;
}

/** The ids as the skill's run made them: what follows is for nobody to predict. */
const madeAs = ({ messageId }: OutgoingMessage): string => messageId.split("~")[0] ?? "";
const published = ({ broker }: World): string[] => broker.published.map(({ message }) => madeAs(message));

describe("an event that can never be published", () => {
  test("ends its message in words at once, keeps no other, and is published when the message is sent again", async () => {
    const bench = await start(
      (eventId) => (eventId === "b" ? "Lost" : "Done"),
      (entity) => (entity === "nowhere" ? missing : undefined),
    );
    const { world, worker } = bench;
    world.send("a", "b", "c");
    await world.clock.advance(1_000);
    assert.deepEqual(
      ["a", "b", "c"].map((event) => world.statesOf(event)),
      [["completed"], ["dead-lettered: PublishFailed"], ["completed"]],
    );
    assert.deepEqual(published(world), ["a:0", "c:0"]);
    const told = worker.telemetry.events.find((event) => event.type === "run.dead-lettered");
    assert.match(
      told?.description ?? "",
      /^expected the 1 emitted events to be published, found that 'Lost' to 'nowhere' cannot be: .*create it\. Then send this message again: its run is done/,
    );
    const record = await world.record("b");
    assert.deepEqual([record.state, decodeOutbox(record.outbox).map(madeAs)], ["done", ["b:0"]]);
    bench.refuses = () => undefined;
    world.send("b");
    await world.clock.advance(1_000);
    assert.deepEqual([published(world), worker.executor.posted.length, (await world.record("b")).outbox.length], [["a:0", "c:0", "b:0"], 3, 0]);
  });

  test("waits with its message for those beside it that may still be published", async () => {
    const bench = await start(
      () => "Done",
      () => undefined,
    );
    const { world, worker } = bench;
    worker.executor.script = () => ({
      kind: "completed",
      outbox: ["Lost", "Done"].map((eventType) => ({ messageId: eventType, body: new Uint8Array(1), headers: { eventType } })),
    });
    bench.refuses = (entity) => (entity === "nowhere" ? missing : entity === outputEntity ? full : undefined);
    world.send("a");
    await world.clock.advance(3_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "scheduled"]);
    bench.refuses = (entity) => (entity === "nowhere" ? missing : undefined);
    await world.clock.advance(60_000);
    assert.deepEqual([world.statesOf("a"), published(world), worker.executor.posted.length], [["completed", "dead-lettered: PublishFailed"], ["Done"], 1]);
  });
});

test("an event is published whatever name its type has, and settles no later than others", async () => {
  const bench = await start(
    (eventId) => oddNames[Number(eventId)] ?? "Done",
    () => undefined,
  );
  const { world, worker } = bench;
  const events = [...oddNames.keys(), 99].map(String);
  world.send(...events);
  await world.clock.advance(100);
  assert.deepEqual(
    events.flatMap((event) => world.statesOf(event)),
    events.map(() => "completed"),
  );
  assert.equal(worker.telemetry.types().includes("run.postponed"), false);
});

describe("while no copy can be sent, for good or for a while,", () => {
  for (const [what, error] of [
    ["for good", missing],
    ["for a while", full],
  ] as const) {
    test(`a message to try again (${what}) waits here as long as the copy would have, and loses no delivery`, async () => {
      const bench = await start(
        () => "Done",
        (entity) => (entity === queueName ? error : undefined),
      );
      const { world, worker } = bench;
      const tries: (readonly [attempt: number, atMs: number])[] = [];
      worker.executor.script = ({ order }) => {
        tries.push([order.attempt, world.clock.monotonicMs()]);
        return order.attempt <= 4 ? failedAnswer() : completedAnswer;
      };
      const task = skillPolicy("task");
      world.send("a");
      await world.clock.advance(600_000);
      assert.deepEqual(
        tries.map(([attempt]) => attempt),
        [1, 2, 3, 4],
      );
      // One retry in place, then pauses of minutes: nothing comes at once that should come later.
      const pausesMs = tries.slice(1).map(([, atMs], index) => atMs - (tries[index]?.[1] ?? 0));
      assert.ok(
        pausesMs.slice(1).every((pauseMs) => pauseMs >= task.retry.baseDelayMs / 2),
        `expected long pauses, found ${pausesMs.join()}`,
      );
      assert.deepEqual(
        world.broker.stored.map(({ failedDeliveries }) => failedDeliveries),
        [0],
      );
      assert.ok(worker.telemetry.events.some((event) => event.type === "send.failed" && event.entity === queueName));
    });
  }

  test("a stop hands it back", async () => {
    const bench = await start(
      () => "Done",
      (entity) => (entity === queueName ? full : undefined),
    );
    const { world, worker } = bench;
    worker.executor.script = () => failedAnswer();
    world.send("a");
    await world.clock.advance(20_000);
    assert.deepEqual(world.statesOf("a"), ["locked"]);
    await world.clock.finish("stop", worker.worker.stop(5_000));
    assert.deepEqual([world.statesOf("a"), (await world.record("a")).state], [["active"], "waiting"]);
  });
});

describe("a message whose handling throws", () => {
  const outcomesOf = (world: World): string[][] => ["a", "b", "c"].map((event) => world.statesOf(event));

  test("as it is routed goes back alone", async () => {
    const world = new World();
    const skills = {
      policies: [skillPolicy("task")],
      handled: new Map(),
      find: (eventType: string) => {
        if (eventType === "odd") throw new Error("found a defect");
        return skillPolicy("task");
      },
    };
    const { telemetry } = await world.start({ source: { skills } });
    world.send("a", world.message("b", "odd"), "c");
    await world.clock.advance(1_000);
    assert.deepEqual(outcomesOf(world), [["completed"], ["dead-lettered: DeliveryLimit"], ["completed"]]);
    assert.ok(telemetry.events.some((event) => event.type === "message.broken" && event.stage === "routing" && event.error === "found a defect"));
  });

  for (const [what, odd] of [
    ["its answer is none", { kind: "odd" } as unknown as RunAnswer],
    ["what it emitted is no message", { kind: "completed", outbox: [null as unknown as OutgoingMessage] }],
  ] as const) {
    test(`because ${what}, ends alone and keeps no other`, async () => {
      const bench = await start(
        () => "Done",
        () => undefined,
      );
      const { world, worker } = bench;
      const { script } = worker.executor;
      worker.executor.script = (run) => (run.eventId === "b" ? odd : script(run));
      world.send("a", "b", "c");
      await world.clock.advance(1_000);
      assert.deepEqual([world.statesOf("a"), world.statesOf("c")], [["completed"], ["completed"]]);
      assert.deepEqual(published(world), ["a:0", "c:0"]);
      await world.clock.advance(3_600_000);
      assert.match(world.statesOf("b").join(), /dead-lettered/);
      assert.equal(worker.worker.view().inFlight, 0);
    });
  }
});
