// Dead letters as a person meets them: what `holdfast dlq` says of them, and what it does with them.
import { storesTried } from "../support/long.ts";
import { strict as assert } from "node:assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ServiceBusClient } from "@azure/service-bus";
import type { TransportKind } from "#runtime/core/config.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { drillOnEach } from "../support/transports.ts";
import { type RunningWorker, runtimeModule, startWorkerBench, type WorkerBench } from "../support/worker-bench.ts";

const { REDIS_URL: _redis, ...env } = process.env;
const envelope = {
  eventType: "Tried",
  version: "1.0",
  traceId: "t",
  correlationId: "c",
  projectId: "p",
  originatingAgent: "a",
  timestamp: "2026-01-01T00:00:00Z",
};

/** Reserves, then fails in the way that the payload names, until a file says that it is mended; leaves a mark on each effect. */
function failing(folder: string): string {
  return `import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { definePlugin, defineSkill, PermanentError } from "${runtimeModule}";
const folder = ${JSON.stringify(folder)};
const failing = defineSkill({
  name: "failing",
  handles: [{ eventType: "Tried", versions: "1.x" }],
  retry: { attemptsMax: 1 },
  async run(context) {
    const { kind, order } = context.event.payload;
    await context.step("reserve", { kind: "idempotent" }, () => appendFileSync(join(folder, "reserved"), \`\${context.event.eventId}\\n\`));
    await context.step("pay", { kind: "idempotent" }, () => {
      if (!existsSync(join(folder, \`mended-\${kind}\`))) throw new PermanentError(\`order \${order} was refused\`, { code: kind });
      appendFileSync(join(folder, "paid"), \`\${context.event.eventId} \${order}\\n\`);
    });
  },
});
export default definePlugin({ skills: [failing] });
`;
}

function marks(bench: WorkerBench, name: string): readonly string[] {
  const file = join(bench.folder, name);
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").sort() : [];
}

interface Scene {
  readonly bench: WorkerBench;
  readonly dlq: (...args: readonly string[]) => Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
  readonly json: (...args: readonly string[]) => Promise<unknown>;
  readonly letters: () => number;
  /** What lies there, as somebody with other tools sees it. */
  readonly client: ServiceBusClient;
  readonly worker: RunningWorker;
}

const entities = { queues: [{ name: "input", deadLetterOnExpiry: true }, { name: "other", forwardDeadLettersTo: "graveyard" }, "graveyard"] };

async function sceneOf(
  t: TestContext,
  transport: TransportKind,
  changes: Readonly<Record<string, unknown>> = {},
  queue: Readonly<Record<string, unknown>> = {},
): Promise<Scene> {
  const queues = entities.queues.map((each) => (typeof each === "object" && each.name === "input" ? { ...each, ...queue } : each));
  const bench = await startWorkerBench(t, { entities: { ...entities, queues }, skills: ["failing"], module: failing });
  const worker = await bench.startWorker({ transport, ...changes });
  const client = new ServiceBusClient(bench.broker.connectionString);
  t.after(() => client.close());
  const file = join(bench.folder, "holdfast-0.config.json");
  const dlq: Scene["dlq"] = (...args) => runCommand(["dlq", ...args, "-c", file], env);
  return {
    bench,
    client,
    worker,
    dlq,
    async json(...args) {
      const { code, stdout, stderr } = await dlq(...args, "--json");
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as unknown;
    },
    letters: () => bench.broker.inspectMessages("input/$DeadLetterQueue", { top: 1_000 })?.messages.length ?? 0,
  };
}

interface Group {
  readonly fingerprint: string;
  readonly count: number;
  readonly example: { readonly class: string; readonly code: string; readonly step: string; readonly skillVersion: string };
}

drillOnEach("dead letters are grouped, shown, replayed behind their last step, and deleted with a reason that is kept", async (t, transport) => {
  const scene = await sceneOf(t, transport);
  const { bench, dlq, json } = scene;
  for (const order of [4711, 4712, 4713]) await bench.send(`card-${order}`, { kind: "CARD", order });
  await bench.send("bank-1", { kind: "BANK", order: 1 });
  await eventually("all to be dead-lettered", () => scene.letters() === 4);

  const groups = (await json("groups")) as readonly Group[];
  assert.deepEqual(
    groups.map(({ count, example }) => [count, example.class, example.code, example.step, example.skillVersion]),
    [
      [3, "permanent", "CARD", "pay", "1.0.0"],
      [1, "permanent", "BANK", "pay", "1.0.0"],
    ],
  );
  const [card, bank] = groups.map(({ fingerprint }) => fingerprint) as [string, string];
  const shown = (await json("show", "--event", "bank-1")) as readonly {
    readonly run: { readonly state: string; readonly history: readonly { readonly kind: string }[] };
  }[];
  assert.deepEqual([shown.length, shown[0]?.run.state, shown[0]?.run.history.map(({ kind }) => kind)], [1, "dead", ["died"]]);

  const dry = await dlq("replay", "--group", card);
  assert.match(dry.stdout, /dry run: would be sent to input.*\n.*3 letters of 3 events \(permanent: CARD\); runs: 3 dead/);
  assert.equal(scene.letters(), 4);

  const stopped = await dlq("replay", "--all", "--run");
  assert.equal(stopped.code, 1, stopped.stderr);
  assert.match(stopped.stderr, /1 of 3 replayed, 0 completed, 1 failed; stopped: the same failure has returned \(CARD\)/);
  await eventually("the canaries to be back", () => scene.letters() === 4);

  writeFileSync(join(bench.folder, "mended-CARD"), "");
  const replayed = await dlq("replay", "--group", card.slice(0, 8), "--run", "--reason", "the terminal is back");
  assert.equal(replayed.code, 0, replayed.stderr);
  assert.match(replayed.stderr, /3 of 3 replayed, 3 completed, 0 failed; done/);
  assert.deepEqual(marks(bench, "paid"), ["card-4711 4711", "card-4712 4712", "card-4713 4713"]);
  assert.equal(marks(bench, "reserved").length, 4, "expected no step to be repeated");
  assert.equal(scene.letters(), 1);

  const wrong = await dlq("purge", "--group", bank, "--count", "2", "--reason", "paid by hand");
  assert.deepEqual([wrong.code, scene.letters()], [2, 1], wrong.stderr);
  const purged = await dlq("purge", "--group", bank, "--count", "1", "--reason", "paid by hand");
  assert.equal(purged.code, 0, purged.stderr);
  assert.match(purged.stdout, /1 of 1 dead letter deleted/);
  assert.equal(scene.letters(), 0);
});

test("a dead letter's payload can be edited, and a run started over; others of the queue stay where they are", async (t) => {
  const scene = await sceneOf(t, "amqp");
  const { bench, client, dlq, json } = scene;
  await bench.send("first", { kind: "A", order: 1 });
  await bench.send("second", { kind: "B", order: 2 });
  await eventually("both to be dead-lettered", () => scene.letters() === 2);
  writeFileSync(join(bench.folder, "mended-C"), "");
  const edited = await dlq("replay", "--event", "second", "--run", "--from", "start", "--patch", '{"kind":"C"}', "--reason", "wrong kind");
  assert.equal(edited.code, 0, edited.stderr);
  assert.deepEqual(marks(bench, "paid"), ["second 2"]);
  assert.deepEqual(marks(bench, "reserved"), ["first", "second", "second"]);
  const [left, ...more] = (await json("show")) as readonly { readonly eventId: string }[];
  assert.deepEqual([left?.eventId, more.length], ["first", 0]);

  // One that the patch does not fit is found before anything is sent, by a dry run as well.
  const body = gzipSync(JSON.stringify({ ...envelope, eventId: "packed", payload: { kind: "A", order: 3 } }));
  const headers = { eventId: "packed", eventType: "Tried", version: "1.0", "content-encoding": "gzip" };
  await client.createSender("input").sendMessages({ messageId: "packed", contentType: "application/json", applicationProperties: headers, body });
  await eventually("it to be dead-lettered, too", () => scene.letters() === 2);
  for (const more of [[], ["--run"]]) {
    const refused = await dlq("replay", "--all", "--patch", '{"kind":"C"}', ...more);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(refused.stderr, /--patch: expected letters that it fits, found 1 of 2 that it does not, the first 'packed': .*gzip.*; nothing was sent/);
  }
  assert.deepEqual([marks(bench, "paid"), scene.letters()], [["second 2"], 2]);
});

test("what expired, what somebody else dead-lettered and what nobody can read are told for what they are, and exported whole", async (t) => {
  const { bench, client, worker, dlq, json, letters } = await sceneOf(t, "amqp");
  await bench.send("refused", { kind: "A", order: 1 });
  const sender = client.createSender("input");
  await sender.sendMessages({ messageId: "unreadable", body: "no JSON" });
  await eventually("both to be dead-lettered", () => letters() === 2);
  worker.process.kill("SIGTERM");
  await worker.done;
  // Somebody sends a dead letter again, as it was, and it expires; somebody else dead-letters one by hand.
  const [letter] = await client.createReceiver("input", { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" }).receiveMessages(1);
  assert.ok(letter !== undefined);
  await sender.sendMessages({ ...letter, timeToLive: 1 });
  await eventually("it to expire", () => letters() === 2);
  await bench.send("foreign", { kind: "A", order: 3 });
  const receiver = client.createReceiver("input");
  const [foreign] = await receiver.receiveMessages(1);
  assert.ok(foreign !== undefined);
  await receiver.deadLetterMessage(foreign, { deadLetterReason: "Screened", deadLetterErrorDescription: "by hand" });

  const groups = (await json("groups")) as readonly Group[];
  assert.deepEqual(groups.map(({ count, example }) => `${count} ${example.class}: ${example.code}`).toSorted(), [
    "1 expired: TTLExpiredException",
    "1 foreign: Screened",
    "1 poison: InvalidEnvelope",
  ]);
  const file = join(bench.folder, "letters.jsonl");
  assert.equal((await dlq("export", "--out", file)).code, 0);
  const lines = readFileSync(file, "utf8").trim().split("\n");
  const whole = lines.map(
    (line) => JSON.parse(line) as { readonly eventId: string; readonly body?: { readonly payload: unknown }; readonly bodyBase64?: string },
  );
  assert.deepEqual(whole.find(({ eventId }) => eventId === "foreign")?.body?.payload, { kind: "A", order: 3 });
  assert.equal((await dlq("export", "--out", file)).code, 2, "expected no file to be written over");
  const plan = await dlq("replay", "--all");
  assert.match(plan.stdout, /1 letter without an event id that can be read is left where it is/);

  writeFileSync(join(bench.folder, "mended-A"), "");
  await bench.startWorker();
  const replayed = await dlq("replay", "--all", "--run");
  assert.equal(replayed.code, 0, replayed.stderr);
  assert.match(replayed.stderr, /1 letter without an event id that can be read is left where it is/);
  assert.deepEqual([marks(bench, "paid"), letters()], [["foreign 3", "refused 1"], 1]);
});

test("dead letters that were forwarded are replayed to the queue that they came from, and those of others are left alone", async (t) => {
  const { bench, client, dlq, json } = await sceneOf(t, "amqp", { sources: [{ queue: "other" }] });
  const event = { ...envelope, eventId: "one" };
  await client.createSender("other").sendMessages({ messageId: "one", contentType: "application/json", body: { ...event, payload: { kind: "A", order: 1 } } });
  await client.createSender("graveyard").sendMessages({ messageId: "stray", body: { ...event, eventId: "stray", payload: { kind: "A", order: 2 } } });
  await eventually("the letter to be forwarded", () => bench.broker.inspect().queues["graveyard"]?.states.active === 2);
  assert.deepEqual(
    ((await json("groups", "--forwarded-to", "graveyard")) as readonly Group[]).map(({ count }) => count),
    [1],
  );
  writeFileSync(join(bench.folder, "mended-A"), "");
  const replayed = await dlq("replay", "--all", "--run", "--forwarded-to", "graveyard");
  assert.equal(replayed.code, 0, replayed.stderr);
  assert.deepEqual([marks(bench, "paid"), bench.broker.inspect().queues["graveyard"]?.states.active], [["one 1"], 1]);
});

test("a replay that finds its letters locked sends nothing past its canary, says so, and goes on when it is run again", async (t) => {
  const { bench, client, dlq, letters } = await sceneOf(t, "amqp");
  for (const order of [1, 2, 3]) await bench.send(`a-${order}`, { kind: "A", order });
  await eventually("all to be dead-lettered", () => letters() === 3);
  writeFileSync(join(bench.folder, "mended-A"), "");
  const holder = client.createReceiver("input", { subQueueType: "deadLetter" });
  const held = await holder.receiveMessages(3);
  const [first, purged] = await Promise.all([dlq("replay", "--all", "--run"), dlq("purge", "--all", "--count", "3", "--reason", "not needed")]);
  assert.equal(purged.code, 1, "expected a purge that has left letters not to count as done");
  assert.match(purged.stdout, /0 of 3 dead letters deleted; the others are locked/);
  assert.equal(first.code, 1, first.stderr);
  assert.match(first.stderr, /0 of 3 replayed, 0 completed, 0 failed; incomplete/);
  for (const letter of held) await holder.abandonMessage(letter);
  const second = await dlq("replay", "--all", "--run");
  assert.equal(second.code, 0, second.stderr);
  assert.deepEqual(marks(bench, "paid"), ["a-1 1", "a-2 2", "a-3 3"]);
});

for (const kind of storesTried)
  test(`a replay in the background goes on through the end of its worker, each event once, and stops what still fails, with records in ${kind}`, async (t) => {
    let store: unknown = { kind: "sqlite", path: "runs.sqlite" };
    if (kind === "redis") {
      const server = await startRedis();
      t.after(() => server.stop());
      store = { kind: "redis", url: server.url };
    }
    const changes = { store, recovery: { leaseMs: 1_000 } };
    const scene = await sceneOf(t, "amqp", changes, { lockDurationMs: 10_000 });
    const { bench, dlq, json } = scene;
    const count = 40;
    for (let order = 0; order < count; order += 1) await bench.send(`card-${order}`, { kind: "CARD", order });
    for (let order = 0; order < 3; order += 1) await bench.send(`bank-${order}`, { kind: "BANK", order });
    await eventually("all to be dead-lettered", () => scene.letters() === count + 3, 20_000);
    assert.match((await dlq("replay", "--all", "--in-background")).stderr, /expected --run beside it/);
    writeFileSync(join(bench.folder, "mended-CARD"), "");
    const order = ["replay", "--all", "--run", "--in-background", "--per-second", "10", "--reason", "mended"];
    const handed = (await json(...order)) as { readonly replay: string; readonly letters: number; readonly isNew: boolean };
    assert.deepEqual([handed.letters, handed.isNew], [count + 3, true]);
    await eventually("some to be paid", () => marks(bench, "paid").length > 5, 30_000);
    scene.worker.process.kill("SIGKILL");
    await scene.worker.done;
    await bench.startWorker(changes);
    await eventually("all of the group that is mended to be paid", () => marks(bench, "paid").length >= count, 100_000);
    const status = async (): Promise<{ readonly state: string; readonly groups: readonly { readonly state: string; readonly why: string }[] } | undefined> => {
      const { stdout } = await dlq("replay", "--status", "--json");
      return (JSON.parse(stdout) as readonly { readonly state: string; readonly groups: readonly { readonly state: string; readonly why: string }[] }[])[0];
    };
    const done = await eventually(
      "the replay to be done",
      async () => {
        const view = await status();
        return view?.state === "done" ? view : undefined;
      },
      100_000,
    );
    assert.deepEqual(done.groups.map(({ state, why }) => `${state} ${why}`).sort(), ["done ", "same-failure BANK"]);
    const paid = marks(bench, "paid").map((line) => line.split(" ")[0] ?? "");
    assert.equal(new Set(paid).size, count);
    // A step that the killed worker was in may happen twice; no other one, and each replay is carried out once.
    const listed = await runCommand(["runs", "list", "--json", "--limit", "100", "-c", join(bench.folder, "holdfast-0.config.json")], env);
    const { runs } = JSON.parse(listed.stdout) as {
      readonly runs: readonly { readonly eventId: string; readonly state: string; readonly losses: number; readonly generation: number }[];
    };
    const twice = runs.filter(({ eventId }) => paid.filter((each) => each === eventId).length > 1);
    assert.deepEqual([twice.filter(({ losses }) => losses === 0), paid.length - count], [[], twice.length], "expected no effect twice");
    assert.deepEqual([...new Set(runs.filter(({ state }) => state === "done").map(({ generation }) => generation))], [1]);
    assert.equal(scene.letters(), 3);
    assert.equal((await dlq("replay", "--status")).code, 1);
  });
