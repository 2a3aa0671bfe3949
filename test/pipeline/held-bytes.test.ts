// What a run holds beside the body of its message counts in the budget of bytes until its message is settled.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { stepBytes } from "#runtime/policy/incoming-bytes.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { ReceiverListener } from "#runtime/ports/transport.ts";
import { type Process, type WorkerOverrides, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

const resultBytes = 10_000;

test("results of steps count as they come and once each, and all that a message held is free when it ends", async () => {
  const world = new World();
  const { worker, executor } = await world.start();
  executor.script = async (run) => {
    await run.takes(1_000);
    await run.step("first", { resultBytes });
    await run.takes(1_000);
    await run.step("second", { resultBytes });
    await run.takes(1_000);
    return completedAnswer;
  };
  world.send("a");
  await world.clock.advance(500);
  const bodyBytes = worker.view().heldBytes;
  assert.ok(bodyBytes > 0 && bodyBytes < resultBytes, String(bodyBytes));
  await world.clock.advance(1_000);
  assert.equal(worker.view().heldBytes, bodyBytes + resultBytes);
  await world.clock.advance(1_000);
  assert.equal(worker.view().heldBytes, bodyBytes + 2 * resultBytes);
  await world.clock.advance(2_000);
  assert.deepEqual([world.statesOf("a"), worker.view().heldBytes], [["completed"], 0]);
});

test("steps that a claim tells of count again for whoever goes on from them", async () => {
  const world = new World();
  const first = await world.start();
  first.executor.script = async (run) => {
    await run.step("first", { resultBytes });
    await run.takes(60_000);
    return completedAnswer;
  };
  world.send("a");
  await world.clock.advance(1_000);
  assert.ok(first.worker.view().heldBytes >= resultBytes);
  first.kill();
  const second = await world.start();
  second.executor.script = async (run) => {
    await run.step("first", { resultBytes });
    await run.takes(5_000);
    return completedAnswer;
  };
  let heldMost = 0;
  for (let waited = 0; waited < 240 && world.statesOf("a")[0] !== "completed"; waited += 1) {
    await world.clock.advance(1_000);
    heldMost = Math.max(heldMost, second.worker.view().heldBytes);
  }
  assert.ok(heldMost >= resultBytes && heldMost < 2 * resultBytes, String(heldMost));
  assert.deepEqual([world.statesOf("a"), second.worker.view().heldBytes], [["completed"], 0]);
});

test("what is emitted counts until it is published", async () => {
  const world = new World();
  const sending = Promise.withResolvers<void>();
  const publisher: Publisher = { start: async () => undefined, stop: async () => undefined, send: () => sending.promise };
  const { worker, executor } = await world.start({ publisher });
  executor.script = () => ({ kind: "completed", outbox: [{ messageId: "a:0", body: new Uint8Array(resultBytes), headers: { eventType: "Done" } }] });
  world.send("a");
  await world.clock.advance(1_000);
  assert.ok(worker.view().heldBytes >= 2 * resultBytes, String(worker.view().heldBytes));
  sending.resolve();
  await world.clock.advance(1_000);
  assert.deepEqual([world.statesOf("a"), worker.view().heldBytes], [["completed"], 0]);
});

const mb = 1024 * 1024;
/** Takes bodies of any size. */
const ofAnySize: WorkerOverrides = { readRoute: (delivery) => readRoute(delivery, { ...defaultDecodeLimits, bodyBytesMax: 100 * mb }) };

function sized(world: World, eventId: string, bytes: number): OutgoingMessage {
  return world.message(eventId, "task", { text: "x".repeat(bytes) });
}

/** Small messages, so that many more are asked for, and then large ones. Each is held for as long as `takesMs` says. */
async function surprise(world: World, overrides: WorkerOverrides, largeBytes: number, takesMs: number): Promise<Process> {
  const process = await world.start({ heldBytesMax: 8 * mb, inFlightMax: 1_000, ...ofAnySize, ...overrides });
  process.executor.script = async (run) => {
    await run.takes(run.eventId.startsWith("large") ? takesMs : 1);
    return completedAnswer;
  };
  for (let index = 0; index < 50; index += 1) world.send(`small-${index}`);
  await world.clock.advance(2_000);
  assert.equal(world.statesOf("small-49")[0], "completed");
  for (let index = 0; index < 60; index += 1) world.send(sized(world, `large-${index}`, largeBytes));
  return process;
}

test("messages that turn out far larger than those before them fit the budget of bytes, but for one step of the window, and all are served", async () => {
  const world = new World();
  const { worker, connection } = await surprise(world, {}, mb, 1_000);
  const before = connection.handedOut;
  let heldMost = 0;
  for (let waited = 0; waited < 600 && world.statesOf("large-59")[0] !== "completed"; waited += 1) {
    await world.clock.advance(100);
    heldMost = Math.max(heldMost, worker.view().heldBytes);
  }
  assert.equal(world.statesOf("large-59")[0], "completed");
  // Each counts twice: four fit, and what the fifth was let have on its way lets it come.
  assert.ok(heldMost > 6 * mb && heldMost <= 8 * mb + 2 * (mb + stepBytes), `held ${heldMost}`);
  assert.equal(connection.handedOut - before, 60, "expected each to be delivered once");
});

test("a worker that waits for room for bytes is not taken for one whose receiver has gone silent", async () => {
  const world = new World({ broker: { lockMs: 300_000 } });
  const { worker, telemetry } = await surprise(world, { silenceMaxMs: 5_000 }, mb, 15_000);
  await world.clock.advance(14_000);
  assert.ok(worker.view().heldBytes > 6 * mb, String(worker.view().heldBytes));
  assert.deepEqual([telemetry.types().filter((type) => type.startsWith("receiver.")), worker.view().rebuiltInVain], [[], 0]);
});

test("a message that is larger than the whole budget of bytes is served by itself", async () => {
  const world = new World();
  const { worker, executor } = await world.start({ heldBytesMax: 2 * mb, ...ofAnySize });
  const together: number[] = [];
  let running = 0;
  executor.script = async (run) => {
    running += 1;
    together.push(running);
    await run.takes(500);
    running -= 1;
    return completedAnswer;
  };
  world.send(sized(world, "giant-0", 5 * mb), sized(world, "giant-1", 5 * mb));
  let heldMost = 0;
  for (let waited = 0; waited < 100 && world.statesOf("giant-1")[0] !== "completed"; waited += 1) {
    await world.clock.advance(100);
    heldMost = Math.max(heldMost, worker.view().heldBytes);
  }
  assert.deepEqual([world.statesOf("giant-0"), world.statesOf("giant-1")], [["completed"], ["completed"]]);
  assert.deepEqual([together, heldMost < 11 * mb], [[1, 1], true]);
});

test("a source whose message waits for the bytes that another holds goes on when they are free", async () => {
  const world = new World({ furtherQueues: ["other"] });
  const { executor, worker } = await world.start({ heldBytesMax: 2 * mb, ...ofAnySize });
  executor.script = async (run) => {
    await run.takes(run.eventId === "holds" ? 5_000 : 10);
    return completedAnswer;
  };
  world.send(sized(world, "holds", 2 * mb));
  await world.clock.advance(1_000);
  world.sendTo("other", "waits");
  await world.clock.advance(3_000);
  assert.equal(worker.view().inFlight, 1);
  await world.clock.advance(1_500);
  assert.equal(worker.view().inFlight, 0);
  assert.equal(world.further.get("other")?.broker.stored[0]?.state, "completed");
});

/** Of each link of a worker, what it may have on its way. */
function roomsOf({ connection, connections }: Process): (() => number)[] {
  const rooms: (() => number)[] = [];
  const note = (listener: Pick<ReceiverListener, "bytesRoom">): void => void rooms.push(() => listener.bytesRoom?.(0) ?? 0);
  for (const transport of [connection, ...connections.values()]) {
    const openReceiver = transport.openReceiver.bind(transport);
    transport.openReceiver = (listener) => {
      note(listener);
      return openReceiver(listener);
    };
    const acceptSession = transport.acceptSession.bind(transport);
    transport.acceptSession = async (waitMs) => {
      const session = await acceptSession(waitMs);
      const listen = session?.listen.bind(session);
      if (session === undefined || listen === undefined) return undefined;
      session.listen = (listener) => {
        note(listener);
        listen(listener);
      };
      return session;
    };
  }
  return rooms;
}

test("sessions and receivers of several sources share what may be on its way: together it is no more than what is left", async () => {
  const world = new World({ broker: { requiresSessions: true }, furtherQueues: ["plain", "other"] });
  let rooms: (() => number)[] = [];
  const sessions = { concurrentMax: 4, idleMs: 60_000, turnMs: 60_000, onFailure: "block" } as const;
  const { worker } = await world.start({ heldBytesMax: 64 * mb, sessions, ...ofAnySize }, (process) => {
    rooms = roomsOf(process);
  });
  for (const id of ["a", "b", "c", "d"]) world.send(...world.inSession(id, id));
  await world.clock.until("four sessions that wait for more", () => worker.view().sources[0]?.sessions?.idle === 4, 5_000);
  const found = rooms.map((room) => room());
  assert.equal(found.length, 6);
  const sum = found.reduce((all, room) => all + room, 0);
  assert.ok(sum <= 32 * mb + 6 * stepBytes, `expected at most ${32 * mb} bytes and a step for each, got ${found.join(", ")}`);
  assert.ok(sum >= 30 * mb, `expected all of it to be shared out, got ${found.join(", ")}`);
});
