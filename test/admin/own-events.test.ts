// Whose a message, a dead letter and a record is, with messages in memory; and what the API's doors do with that, on a broker without a worker.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import { Redis } from "ioredis";
import { Problem } from "#runtime/admin/problem.ts";
import { AdminEvents, lettersOf } from "#runtime/cli/admin-events.ts";
import { Opened, placeOf, Turns } from "#runtime/cli/admin-places.ts";
import { composeRunRecords, composeRunStore } from "#runtime/compose/store.ts";
import { parseConfig } from "#runtime/core/config.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import type { DeadLetterBox } from "#runtime/ports/dead-letters.ts";
import { deliveryOf } from "#runtime/recovery/runs-message.ts";
import { findMessages } from "#runtime/recovery/runs-messages.ts";
import { findOwn, type Looked, ownPayloads, tenantOf } from "#runtime/recovery/whose.ts";
import { eventually } from "../support/eventually.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const acme = new Set(["acme"]);
const zoo = new Set(["zoo"]);
const hashPayload = createPayloadHash(defaultDecodeLimits);
const problem =
  (kind: Problem["kind"]) =>
  (error: unknown): boolean =>
    error instanceof Problem && error.kind === kind;

function event(eventId: string, tenantId: string, payload: object): object {
  const head = { eventId, eventType: "Tried", version: "1.0", traceId: "t", correlationId: "c", projectId: "p", originatingAgent: "a" };
  return { ...head, ...(tenantId === "" ? {} : { tenantId }), timestamp: "2030-01-01T00:00:00Z", payload };
}

function messageOf(eventId: string, tenantId: string, payload: object = {}): Delivery {
  const envelope = event(eventId, tenantId, payload);
  const headers = eventHeaders(envelope as Parameters<typeof eventHeaders>[0]);
  return deliveryOf({ messageId: eventId, body: Buffer.from(JSON.stringify(envelope)), contentType: "application/json", headers });
}

function boxOf(name: string, messages: readonly Delivery[]): DeadLetterBox {
  const lying = messages.map((delivery, index) => ({ ...delivery, sequenceNumber: BigInt(index + 1) }));
  return {
    name,
    isOwn: true,
    transport: {} as DeadLetterBox["transport"],
    start: async () => {},
    stop: async () => {},
    peek: (from, count) =>
      Promise.resolve(
        lying
          .filter(({ sequenceNumber }) => sequenceNumber >= from)
          .slice(0, count)
          .map((delivery) => ({ delivery, state: "active", scheduledAtMs: undefined, deadLetterSource: undefined }) as const),
      ),
  };
}

function looked(queued: readonly Delivery[], dead: readonly Delivery[]): Looked {
  const letters = { boxes: [boxOf("dead", dead)], sources: ["input"], readRoute: (delivery: Delivery) => readRoute(delivery, defaultDecodeLimits) };
  return { queues: [boxOf("input", queued)], letters, hashPayload };
}

async function hashOf({ letters }: Looked, delivery: Delivery): Promise<string> {
  const answer = letters.readRoute(delivery);
  assert.ok(answer.ok);
  return hashPayload(delivery.body, answer);
}

test("a record is a tenant's where a message of its has the same event and payload, and none of another's has", async () => {
  const own = messageOf("own", "acme", { of: "acme" });
  const dead = messageOf("dead", "acme");
  const same = messageOf("same", "acme", { amount: 1 });
  const nobodys = messageOf("nobodys", "acme", { amount: 2 });
  const all = looked(
    [own, messageOf("own", "zoo", { of: "zoo" }), messageOf("other", "zoo"), same, messageOf("nobodys", "", { amount: 2 })],
    [dead, messageOf("same", "zoo", { amount: 1 }), nobodys],
  );
  const payloads = await ownPayloads(all, acme, 100);
  assert.deepEqual([...payloads.events()].toSorted(), ["dead", "nobodys", "own", "same"]);
  for (const [delivery, isOwn] of [
    [own, true],
    [dead, true],
    [messageOf("own", "zoo", { of: "zoo" }), false],
    [messageOf("other", "zoo"), false],
    [same, false],
    [nobodys, false],
  ] as const) {
    const { messageId: eventId } = delivery;
    const hash = await hashOf(all, delivery);
    assert.equal(payloads.has(eventId, hash), isOwn, eventId);
    assert.equal((await findOwn(all, acme, eventId, 100)).own.has(eventId, hash), isOwn, eventId);
  }
});

test("as many dead letters are looked at for their owner as messages of a queue", async () => {
  const many = Array.from({ length: 30 }, (_, index) => messageOf(`event-${index}`, "acme"));
  assert.equal([...(await ownPayloads(looked([], many), acme, 7)).events()].length, 7);
  assert.equal([...(await ownPayloads(looked(many, []), acme, 7)).events()].length, 7);
});

test("a place that holds just as many messages as are looked at is not cut short, one that holds more is", async () => {
  const many = Array.from({ length: 7 }, (_, index) => messageOf(`event-${index}`, "acme"));
  const { queues, letters } = looked(many, many);
  for (const [max, cutShort] of [
    [8, []],
    [7, []],
    [6, ["input", "dead"]],
  ] as const)
    assert.deepEqual((await findMessages(queues, letters, "event-0", max)).cutShort, cutShort, `${max}`);
});

test("of an event that has been sent very often, a few messages are held", async () => {
  const many = Array.from({ length: 500 }, () => messageOf("again", "acme"));
  const { found } = await findOwn(looked(many, []), acme, "again", 1_000);
  assert.deepEqual([found.messages.length, found.cutShort], [100, ["input"]]);
});

test("messages and letters of others are not found, nor counted for a replay", async () => {
  const { queues, letters } = looked([messageOf("one", "acme"), messageOf("one", "zoo")], [messageOf("one", "zoo"), messageOf("two", "acme")]);
  const found = await findMessages(queues, letters, "one", 100, (delivery) => acme.has(tenantOf(letters, delivery)));
  assert.deepEqual([found.messages.length, found.letters.length], [1, 0]);
  const everything = await findMessages(queues, letters, "one", 100);
  assert.deepEqual([everything.messages.length, everything.letters.length], [2, 1]);
  const { found: own } = await findOwn({ queues, letters, hashPayload }, acme, "one", 100);
  assert.deepEqual([own.messages.length, own.letters.length, own.messages[0]?.before], [1, 0, undefined]);

  const [group = ""] = everything.letters.map(({ fingerprint }) => fingerprint);
  assert.equal((await lettersOf(letters, { ...replayOrder, group, expected: 2 }, undefined)).length, 2);
  const theirs = await lettersOf(letters, { ...replayOrder, group, expected: 1 }, acme);
  assert.deepEqual(
    theirs.map(({ eventId }) => eventId),
    ["two"],
  );
});

const replayOrder = { from: "checkpoint", repeatsInDoubt: false, reason: "a test", who: "somebody" } as const;

test("what failed inside of several that are in use closes all of them; a refusal closes none", async () => {
  const closed: string[] = [];
  const opened = (name: string): Opened<string> =>
    new Opened(
      () => Promise.resolve(name),
      (thing) => {
        closed.push(thing);
        return Promise.resolve();
      },
    );
  const [queues, records] = [opened("queues"), opened("records")];
  const fail = (error: Error): Promise<never> => {
    const work = async (): Promise<never> => {
      throw error;
    };
    return queues.use(() => records.use(work));
  };
  await assert.rejects(fail(new Problem("conflict", "as things stand")), problem("conflict"));
  assert.deepEqual(closed, []);
  await assert.rejects(fail(new Error("the broker's connection is gone")), problem("unavailable"));
  assert.deepEqual(closed, ["records", "queues"]);
});

test("what cannot be opened as a whole leaves none of its parts open", async (t) => {
  const url = process.env["REDIS_URL"] ?? "";
  const redis = new Redis(url);
  const user = `reader-${randomUUID()}`;
  // Who may not list what pipeline hashes stand for, which is asked last.
  await redis.acl("SETUSER", user, "on", ">word", "~*", "&*", "+@all", "-hgetall");
  t.after(async () => {
    await redis.acl("DELUSER", user);
    await redis.quit();
  });
  const place = Object.assign(new URL(url), { username: user, password: "word" }).href;
  const connectionString = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true";
  const store = { kind: "redis", url: place, prefix: user } as const;
  const config = parseConfig({ sources: [{ queue: "input" }], serviceBus: { connectionString }, plugins: ["./plugin"], store }, "test");
  const { records } = placeOf(config, tmpdir());
  await assert.rejects(
    records.use(() => assert.fail("expected no records")),
    problem("unavailable"),
  );
  await eventually("all connections to be closed", async () => !String(await redis.client("LIST")).includes(`user=${user}`));
});

test("one look at a time goes through all messages, a few wait, and more are refused", async () => {
  const turns = new Turns();
  let atOnce = 0;
  let most = 0;
  const gate = Promise.withResolvers<void>();
  const look = async (): Promise<void> => {
    atOnce += 1;
    most = Math.max(most, atOnce);
    await gate.promise;
    atOnce -= 1;
  };
  const taken = Array.from({ length: 21 }, () => turns.take(look));
  await assert.rejects(turns.take(look), problem("too-many"));
  gate.resolve();
  await Promise.all(taken);
  assert.equal(most, 1);
  await assert.rejects(
    turns.take(() => Promise.reject(new Error("it failed"))),
    /it failed/,
  );
  await turns.take(look);
});

const module = (): string => `import { definePlugin } from ${JSON.stringify(runtimeModule)};
export default definePlugin({});
`;

test("another's record under the id of a tenant's message is not there, dry run or not; both replay letters of one failure at once", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: [], module });
  const config = parseConfig(
    {
      sources: [{ queue: "input" }],
      serviceBus: { connectionString: bench.broker.connectionString },
      plugins: ["./plugin"],
      store: { kind: "sqlite", path: join(bench.folder, "runs.sqlite") },
    },
    "test",
  );
  const [store, records] = [composeRunStore(config, bench.folder), composeRunRecords(config, bench.folder)];
  await store.start();
  await records.start();
  const entry = { kind: "cancelled", who: "somebody", reason: "a test" } as const;
  const record = {
    payloadHash: await hashOf(looked([], []), messageOf("taken", "zoo", { of: "zoo" })),
    pipelineHash: "",
    state: "waiting",
    reason: "",
  } as const;
  await records.create({ eventId: "taken", ...record, steps: [], history: [], entry });
  await records.create({ eventId: "lost", ...record, steps: [], history: [], entry });
  await records.create({ eventId: "cancelled", ...record, state: "dead", reason: "Cancelled", steps: [], history: [], entry });
  await records.stop();
  await store.stop();
  const doors = new AdminEvents(config, bench.folder);
  t.after(() => doors.stop());
  const client = new ServiceBusClient(bench.broker.connectionString);
  t.after(() => client.close());
  const receiver = client.createReceiver("input");
  for (const tenant of ["acme", "zoo"]) {
    await bench.send(`dead-${tenant}`, {}, "Tried", tenant);
    const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 5_000 });
    assert.ok(message !== undefined);
    await receiver.deadLetterMessage(message, { deadLetterReason: "Tried", deadLetterErrorDescription: "by hand" });
  }
  await bench.send("taken", {}, "Tried", "acme");
  await bench.send("free", {}, "Tried", "acme");
  const order = { to: "cancel", reason: "a test", who: "somebody", repeatsInDoubt: false } as const;
  for (const dryRun of [true, false])
    await assert.rejects(doors.changeRun(undefined, { ...order, eventId: "taken", dryRun }, acme), problem("not-found"), String(dryRun));
  assert.equal((await doors.changeRun(undefined, { ...order, eventId: "free", dryRun: true }, acme)).was, "no record");

  // Callers for all tenants wait for each other, and not for tenants.
  const looks = Array.from({ length: 30 }, () => doors.runs(undefined, { states: [], skill: undefined, limit: 1 }, undefined));
  const [ended] = await Promise.all([Promise.allSettled(looks), doors.deadLetters(undefined, acme)]);
  const refused = ended.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  assert.equal(refused.length, 9);
  assert.ok(refused.every(problem("too-many")));

  await assert.rejects(
    doors.changeRun(undefined, { ...order, to: "resume", eventId: "lost", dryRun: true }, undefined),
    (error) => error instanceof Problem && error.kind === "conflict" && /send the event again/.test(error.message) && !error.message.includes("--"),
  );
  await assert.rejects(
    doors.changeRun(undefined, { ...order, eventId: "cancelled", dryRun: false }, undefined),
    (error) => error instanceof Problem && error.kind === "conflict" && /POST \/api\/v1\/replays/.test(error.message),
  );

  const [group] = (await doors.deadLetters(undefined, undefined)) as readonly { readonly fingerprint: string; readonly count: number }[];
  assert.equal(group?.count, 2);
  const replay = { ...replayOrder, group: group.fingerprint, expected: 1 };
  await doors.replay(undefined, replay, acme);
  await doors.replay(undefined, replay, zoo);
  await assert.rejects(doors.replay(undefined, replay, acme), problem("conflict"));
  await assert.rejects(doors.replay(undefined, { ...replay, expected: 2 }, undefined), problem("conflict"));
});
