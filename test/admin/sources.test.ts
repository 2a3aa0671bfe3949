// The admin API of a worker with several sources, where no source is named.
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { test } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import { Problem } from "#runtime/admin/problem.ts";
import { AdminEvents } from "#runtime/cli/admin-events.ts";
import { parseConfig } from "#runtime/core/config.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (): string => `import { definePlugin } from ${JSON.stringify(runtimeModule)};
export default definePlugin({});
`;

test("without a source an event is found in the one that has it, dead letters are those of all, and what several have is changed in none", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input", "second"] }, skills: [], module });
  const config = parseConfig(
    {
      sources: [{ queue: "input" }, { queue: "second" }],
      serviceBus: { connectionString: bench.broker.connectionString },
      plugins: ["./plugin"],
      store: { kind: "sqlite", path: join(bench.folder, "runs.sqlite") },
    },
    "test",
  );
  const doors = new AdminEvents(config, bench.folder);
  t.after(() => doors.stop());
  const client = new ServiceBusClient(bench.broker.connectionString);
  t.after(() => client.close());
  await bench.send("both");
  for (const eventId of ["both", "one"]) {
    const event = { eventId, eventType: "Tried", traceId: "t", correlationId: "c", projectId: "p", originatingAgent: "test", version: "1.0" };
    await client
      .createSender("second")
      .sendMessages({ messageId: eventId, contentType: "application/json", body: { ...event, timestamp: "2026-01-01T00:00:00.000Z", payload: {} } });
  }
  const receiver = client.createReceiver("second");
  const order = { to: "cancel", reason: "a test", who: "somebody", dryRun: false, repeatsInDoubt: false } as const;
  const { source, state } = (await doors.explain(undefined, "one", undefined)) as { readonly source: string; readonly state: string };
  assert.deepEqual([source, state], ["second", "no record"]);
  await assert.rejects(
    doors.changeRun(undefined, { ...order, eventId: "both" }, undefined),
    (error) => error instanceof Problem && error.kind === "bad-request" && /one of input, second/.test(error.message),
  );
  assert.match((await doors.changeRun(undefined, { ...order, eventId: "one" }, undefined)).did, /its message in second comes/);
  assert.equal(((await doors.run(undefined, "one", undefined)) as { readonly state: string }).state, "dead");
  const runs = (await doors.runs(undefined, { states: [], skill: undefined, limit: 10 }, undefined)) as {
    readonly runs: readonly { readonly source: string }[];
  };
  assert.deepEqual(
    runs.runs.map((run) => run.source),
    ["second"],
  );
  const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 5_000 });
  assert.ok(message !== undefined);
  await receiver.deadLetterMessage(message, { deadLetterReason: "Tried", deadLetterErrorDescription: "by hand" });
  const groups = (await doors.deadLetters(undefined, undefined)) as readonly { readonly example: { readonly source: string } }[];
  assert.deepEqual(
    groups.map(({ example }) => example.source),
    ["second"],
  );

  // What died alike in two sources is replayed in each by itself.
  const first = client.createReceiver("input");
  const [other] = await first.receiveMessages(1, { maxWaitTimeInMs: 5_000 });
  assert.ok(other !== undefined);
  await first.deadLetterMessage(other, { deadLetterReason: "Tried", deadLetterErrorDescription: "by hand" });
  const [group, same] = (await doors.deadLetters(undefined, undefined)) as readonly { readonly fingerprint: string }[];
  assert.ok(group !== undefined && group.fingerprint === same?.fingerprint);
  const replay = { group: group.fingerprint, expected: 1, from: "checkpoint", repeatsInDoubt: false, reason: "a test", who: "somebody" } as const;
  for (const name of ["second", "input"]) assert.equal((await doors.replay(name, replay, undefined)).state, "replaying", name);
});
