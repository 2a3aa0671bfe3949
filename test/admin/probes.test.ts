// Probes: events of a worker's own that go the whole way through the pipeline, and are measured, told apart and never dead-lettered.
import { strict as assert } from "node:assert";
import { after, before, test } from "node:test";
import { createSqliteBoard } from "#runtime/adapters/sqlite/board.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { Metrics } from "#runtime/adapters/telemetry/metrics/metrics.ts";
import { ProbeTelemetry } from "#runtime/adapters/telemetry/probes.ts";
import { ProbeReports } from "#runtime/admin/probe-reports.ts";
import { Probes, type ProbesOptions, type ProbeView } from "#runtime/admin/probing.ts";
import { parseConfig } from "#runtime/core/config.ts";
import type { HeaderValue, OutgoingMessage } from "#runtime/core/delivery.ts";
import { probeMessage } from "#runtime/core/probe.ts";
import { composeSkills } from "#runtime/compose/skills.ts";
import { skillsOf } from "#runtime/compose/sources.ts";
import { targetOf } from "#runtime/cli/admin-probes.ts";
import type { PoolBoard } from "#runtime/ports/pool-board.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";
import { type Process, TelemetryLog, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const boardStore = createSqliteRunStore({ consumer: queueName, retentionMs: 60_000, path: ":memory:", clock: { wallMs: Date.now } });
const board = createSqliteBoard(boardStore);
before(() => boardStore.start());
after(() => boardStore.stop());

interface Scene {
  readonly world: World;
  readonly process: Process;
  readonly probes: Probes;
  readonly metrics: Metrics;
  /** What others than the sender of probes heard. */
  readonly heard: TelemetryLog;
  readonly told: ProbeView[];
  readonly measured: { readonly stagesMs: ProbeView["stagesMs"]; readonly criticalMs: number }[];
  readonly forgotten: string[];
  /** The end of the probe that was asked for last, or of this one. */
  readonly state: (probe: ProbeView) => ProbeView | undefined;
}

async function startScene(options: Partial<ProbesOptions> = {}, settledElsewhere = false): Promise<Scene> {
  const world = new World();
  const metrics = new Metrics();
  const heard = new TelemetryLog();
  const here = new ProbeReports(board);
  const others = { settled: metrics.settled.bind(metrics), emit: heard.emit.bind(heard) };
  const process = await world.start({
    furtherTelemetry: new ProbeTelemetry({ clock: world.clock, workerId: "settler", others, ended: (report) => here.ended(report) }),
  });
  const told: ProbeView[] = [];
  const measured: Scene["measured"] = [];
  const forgotten: string[] = [];
  let ids = 0;
  const probes = new Probes({
    workerId: "sender",
    targets: [{ source: queueName, entity: queueName, asksForSession: false }],
    policy: { timeoutMs: 10_000 },
    clock: world.clock,
    reports: settledElsewhere ? new ProbeReports(board) : here,
    randomId: (digits) => String((ids += 1)).padStart(digits, "0"),
    secret: () => world.records.secret(),
    send: (entity, message) => process.connection.send(entity, [message]),
    mayProbe: () => true,
    look: async () => "it waits in the queue",
    forget: async (_source, eventId) => void forgotten.push(eventId),
    measured: (_source, stagesMs, criticalMs) => measured.push({ stagesMs, criticalMs }),
    tell: (probe) => told.push(probe),
    ...options,
  });
  const state = (probe: ProbeView): ProbeView | undefined => probes.list().find(({ id }) => id === probe.id);
  return { world, process, probes, metrics, heard, told, measured, forgotten, state };
}

function valueOf(probes: Probes, result: string): number | undefined {
  return probes.samples().find(({ name, labels }) => name === "holdfast_probes_total" && labels["result"] === result)?.value;
}

test("a probe goes the whole way, is measured by stage, and is in no count of others' events", async () => {
  const { world, process, probes, metrics, heard, measured, forgotten, state } = await startScene();
  process.executor.script = async (run) => {
    await run.step("checkpoint", { kind: "idempotent", takesMs: 40 });
    return completedAnswer;
  };
  const probe = probes.ask(undefined, "somebody");
  await world.clock.until("it to come back", () => state(probe)?.state === "completed", 10_000);
  const { criticalMs, stagesMs, settledBy, why, who } = state(probe) ?? probe;
  assert.deepEqual([settledBy, why, who], ["settler", "", "somebody"]);
  const { send = -1, queue = -1, claim = -1, run = -1, settle = -1 } = stagesMs;
  assert.ok(send >= 0 && queue >= 0 && claim > 0 && run >= 40 && settle > 0, JSON.stringify(stagesMs));
  assert.ok(Math.abs(queue + claim + run + settle - (criticalMs ?? 0)) < 1, `${JSON.stringify(stagesMs)} of ${criticalMs}`);
  assert.equal(measured.length, 1);
  assert.deepEqual(forgotten, [`holdfast-probe-${probe.id}`]);
  assert.equal(valueOf(probes, "completed"), 1);
  assert.equal(metrics.totals().completed, 0);
  assert.deepEqual(
    heard.events.filter((event) => "eventId" in event),
    [],
  );
  assert.equal(world.broker.deadLettered.length, 0);
});

test("one that fails says why, and no dead letter, no failure and no escalation comes of it", async () => {
  const { world, process, probes, metrics, heard, state } = await startScene();
  process.executor.script = async () => failedAnswer("BROKEN");
  const probe = probes.ask(queueName, "somebody");
  await world.clock.until("it to fail", () => state(probe)?.state === "failed", 10_000);
  assert.match(state(probe)?.why ?? "", /BROKEN/);
  assert.equal(world.broker.deadLettered.length, 0);
  assert.deepEqual([metrics.totals().deadLettered, metrics.totals().retried], [0, 0]);
  assert.deepEqual(
    heard.types().filter((type) => type.startsWith("run.")),
    [],
  );
  assert.equal(world.broker.open.length, 0);
});

const probeId = "holdfast-probe-0123456789abcdef";

async function probeOf(world: World, eventId = probeId): Promise<OutgoingMessage> {
  const secret = await world.records.secret();
  return probeMessage({ eventId, secret, workerId: "w", timestamp: "2026-01-01T00:00:00.000Z", traceId: "0".repeat(32) });
}

test("an event that somebody else sends under the type of probes is of an unknown type, however it is made, and leaves no note", async () => {
  const { world, heard } = await startScene({}, true);
  const [signed, other, unlike] = [await probeOf(world), await probeOf(world, "holdfast-probe-fedcba9876543210"), await probeOf(world, "order-1")];
  const withProof = (message: OutgoingMessage, proof: HeaderValue): OutgoingMessage => ({
    ...message,
    headers: { ...message.headers, "holdfast-probe": proof },
  });
  const forged = [withProof(signed, ""), withProof(signed, 1), withProof(signed, other.headers["holdfast-probe"] ?? ""), unlike];
  for (const message of forged) world.send(message);
  world.send({ ...withProof(signed, ""), messageId: "unreadable", body: Buffer.from("{"), headers: { eventType: "holdfast.probe" } });
  await world.clock.until("them to be gone", () => world.broker.open.length === 0, 10_000);
  assert.equal(world.broker.deadLettered.length, 5);
  assert.ok(heard.types().filter((type) => type === "run.dead-lettered").length >= 5);
  assert.deepEqual(await board.list("probes"), []);
});

test("one of a version that its worker does not know, or cannot read, is passed by: no failure of anybody, and its sender hears of it", async () => {
  const later = (message: OutgoingMessage): OutgoingMessage => ({ ...message, headers: { ...message.headers, version: "9.0" } });
  const unlike = (message: OutgoingMessage): OutgoingMessage => ({ ...message, body: Buffer.from("{"), headers: { ...message.headers, version: "" } });
  for (const changed of [later, unlike]) {
    const scene = await startScene({ send: (entity, message) => scene.process.connection.send(entity, [changed(message)]) }, true);
    const { world, probes, metrics, heard, measured, forgotten, state, told } = scene;
    const probe = probes.ask(undefined, "somebody");
    await world.clock.until("it to be passed by", () => state(probe)?.state === "passed-by", 10_000);
    const { why, settledBy } = state(probe) ?? probe;
    assert.match(why, changed === later ? /^UnsupportedVersion: .*'9\.0'/ : /^InvalidEnvelope: /);
    assert.equal(settledBy, "settler");
    assert.deepEqual([world.broker.open.length, world.broker.deadLettered.length, measured.length, forgotten.length], [0, 0, 0, 0]);
    assert.deepEqual([metrics.totals().deadLettered, valueOf(probes, "passed-by"), valueOf(probes, "failed"), told.length], [0, 1, 0, 1]);
    assert.deepEqual(
      heard.types().filter((type) => /^(?:run|probe)\./.test(type)),
      ["probe.passed-by"],
    );
  }
});

test("one that another worker settles is heard of through the store", async () => {
  const { world, process, probes, state } = await startScene({}, true);
  process.executor.script = async () => completedAnswer;
  const probe = probes.ask(undefined, "somebody");
  await world.clock.until("it to come back", () => state(probe)?.state === "completed", 10_000);
  assert.equal(state(probe)?.settledBy, "settler");
  assert.deepEqual(await board.list("probes"), []);
});

test("one that does not come back times out and says where it is; the schedule sends no other meanwhile; late, it counts as come", async () => {
  const { world, process, probes, told } = await startScene({ policy: { everyMs: 5_000, timeoutMs: 10_000 } });
  process.executor.script = async () => completedAnswer;
  process.worker.pause();
  probes.start();
  await world.clock.until("it to time out", () => told.length === 1, 60_000);
  assert.match(told[0]?.why ?? "", /not settled within 10 s: it waits in the queue/);
  await world.clock.advance(60_000);
  assert.equal(world.broker.open.length, 1);
  assert.ok((valueOf(probes, "timed-out") ?? 0) > 5, "each round that finds it still out counts");
  process.worker.resume();
  await world.clock.until("it to come late", () => told.at(-1)?.state === "completed", 30_000);
  await world.clock.until("the next one", () => valueOf(probes, "completed") === 2, 30_000);
  await probes.stop();
  const sent = probes.list().length;
  await world.clock.advance(60_000);
  assert.equal(probes.list().length, sent);
});

test("the store is asked for one that is late ever less often", async () => {
  let asked = 0;
  const counting: PoolBoard = {
    put: (...note) => board.put(...note),
    list: (topic) => board.list(topic),
    take: (topic, name) => {
      asked += 1;
      return board.take(topic, name);
    },
    stop: () => Promise.resolve(),
  };
  const { world, process, probes, told } = await startScene({ reports: new ProbeReports(counting) });
  process.worker.pause();
  probes.ask(undefined, "somebody");
  await world.clock.until("it to time out", () => told.length === 1, 60_000);
  const inTime = asked;
  await world.clock.advance(120_000);
  assert.ok(inTime > 20 && asked - inTime > 5 && asked - inTime < 25, `${inTime} within 10 s, ${asked - inTime} in two minutes behind that`);
  await probes.stop();
});

test("while its worker takes nothing because somebody paused it, no probe is sent, and one that is asked for is refused", async () => {
  const { world, probes } = await startScene({ policy: { everyMs: 5_000, timeoutMs: 10_000 }, mayProbe: () => false });
  probes.start();
  await world.clock.advance(30_000);
  assert.deepEqual(probes.list(), []);
  assert.throws(() => probes.ask(undefined, "somebody"), /expected a worker that takes messages/);
  assert.throws(() => probes.ask("another", "somebody"), /expected source to be one of/);
  await probes.stop();
});

test("what cannot be sent has failed, and the next round tries again", async () => {
  let isUp = false;
  const { world, process, probes, told } = await startScene({
    policy: { everyMs: 5_000, timeoutMs: 10_000 },
    send: (entity, message) => (isUp ? process.connection.send(entity, [message]) : Promise.reject(new Error("the broker is away"))),
  });
  process.executor.script = async () => completedAnswer;
  probes.start();
  await world.clock.until("it to fail", () => told.length === 1, 30_000);
  assert.deepEqual([told[0]?.state, told[0]?.why], ["failed", "the broker is away"]);
  isUp = true;
  await world.clock.until("the next one to come", () => told.at(-1)?.state === "completed", 30_000);
  await probes.stop();
});

test("every worker finds the skill of probes, whatever its sources let in, and shows it nowhere", async () => {
  const config = parseConfig(
    {
      sources: ["input"].map((queue) => ({ queue })),
      serviceBus: { fullyQualifiedNamespace: "a.servicebus.windows.net" },
      plugins: ["./handlers/event-dispatcher"],
    },
    "test",
  );
  const { registry, plugins } = await composeSkills(config, `${import.meta.dirname}/../..`);
  const found = skillsOf({ skills: ["event-dispatcher"] }, registry).find("holdfast.probe", "1.0");
  assert.equal(typeof found === "string" ? found : found.name, "holdfast.probe");
  assert.equal(plugins.at(-1)?.isBuiltIn, true);
  assert.ok(registry.kinds.some(({ skill }) => skill === "holdfast.probe"));
  for (const names of [registry.skills, registry.policies].map((all) => all.map(({ name }) => name)))
    assert.ok(!names.includes("holdfast.probe"), names.join());
  assert.ok(!registry.handled.has("holdfast.probe"));
});

test("a subscription is probed through its retry queue, so that no other subscriber gets any, unless its topic is asked for", () => {
  const source = { name: "s", topic: "t", subscription: "s", retryQueue: "r", sessions: {} as never };
  assert.deepEqual(targetOf(source, { throughTopics: false }), { source: "s", entity: "r", asksForSession: false });
  assert.deepEqual(targetOf(source, { throughTopics: true }), { source: "s", entity: "t", asksForSession: true });
  assert.deepEqual(targetOf({ name: "q", queue: "q" }, { throughTopics: true }), { source: "q", entity: "q", asksForSession: false });
  assert.equal(targetOf({ name: "q", queue: "q", sessions: {} as never }, { throughTopics: false }).asksForSession, true);
});

test("when the store has lost the secret that probes are signed with, the first one is refused and the next ones go the whole way", async () => {
  const { world, probes, state } = await startScene();
  Object.assign(world.records, { secret: () => Promise.resolve("another secret") });
  const first = probes.ask(undefined, "somebody");
  await world.clock.until("the first one to be refused", () => world.broker.deadLettered.length === 1, 10_000);
  await world.clock.until("nobody to wait for it", () => state(first)?.state !== "under-way", 20_000);
  const second = probes.ask(undefined, "somebody");
  await world.clock.until("the second one to come back", () => state(second)?.state === "completed", 10_000);
  assert.equal(world.broker.deadLettered.length, 1);
});
