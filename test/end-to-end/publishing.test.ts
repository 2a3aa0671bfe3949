// What a worker publishes, by the whole product: under any name, and in words where it never can be.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { entityFor } from "#runtime/compose/broker.ts";
import { parseConfig } from "#runtime/core/config.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { eventually } from "../support/eventually.ts";
import { oddNames } from "../support/odd-names.ts";
import { drillOnEach } from "../support/transports.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (): string => `import { definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const emitter = defineSkill({
  name: "toString",
  handles: [{ eventType: "Tried" }],
  async run(context) {
    await context.step("constructor", { kind: "idempotent" }, (step) => step.emit(context.event.payload.eventType, {}));
  },
});
export default definePlugin({ skills: [emitter] });
`;

drillOnEach("an event is published whatever its type is called; one that never can be ends its message in words, and keeps no other", async (t, transport) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input", "constructor", "others", "nowhere"] }, skills: ["toString"], module });
  const byEventType = Object.fromEntries([...oddNames.map((name) => [name, "constructor"]), ["Lost", "nowhere"]]);
  const worker = await bench.startWorker({ transport, publish: { entity: "others", byEventType } });
  // A worker does not start without it; what happens later is another matter.
  await administrationOf(bench.broker).deleteQueue("nowhere");
  const types = [...oddNames, "Lost", "propertyIsEnumerable", "Done"];
  for (const [index, eventType] of types.entries()) await bench.send(`e${index}`, { eventType });
  const states = (path: string): Readonly<Record<string, number>> => ({ ...bench.broker.inspect().queues[path]?.states });
  await eventually(
    "all messages to have ended",
    () => states("input")["active"] === 0 && states("input")["locked"] === 0 && states("input")["deadLettered"] === 1,
    20_000,
  ).catch((error: unknown) => assert.fail(`${String(error)}: ${worker.log()}`));
  assert.equal(states("input")["scheduled"], 0);
  const typesIn = (path: string): string[] =>
    (bench.broker.inspectMessages(path)?.messages ?? []).map(({ applicationProperties }) => String(applicationProperties["eventType"])).toSorted();
  assert.deepEqual(typesIn("constructor"), oddNames.toSorted());
  assert.deepEqual(typesIn("others"), ["Done", "propertyIsEnumerable"]);
  const [dead] = bench.broker.inspectMessages("input/$DeadLetterQueue")?.messages ?? [];
  assert.equal(dead?.deadLetterReason, "PublishFailed");
  assert.match(
    dead?.deadLetterDescription ?? "",
    /'Lost' to 'nowhere' cannot be: expected .*nowhere.*create it.*\. Then send this message again: its run is done/s,
  );

  await administrationOf(bench.broker).createQueue("nowhere");
  await bench.send(`e${types.indexOf("Lost")}`, { eventType: "Lost" });
  await eventually("what waited in the run's record", () => states("nowhere")["active"] === 1, 20_000);
  assert.deepEqual(typesIn("nowhere"), ["Lost"]);
  assert.equal(worker.events("run.retrying").length, 0);
});

test("an event that has nowhere to go says which keys to complete, and what becomes of its run", () => {
  const config = parseConfig({ sources: [{ queue: "input" }], serviceBus: { connectionString: "x" }, plugins: ["./p"] }, "test");
  assert.throws(
    () => entityFor(config, "Done"),
    /expected an entity for 'Done'.*found none; name one in publish\.entity or publish\.byEventType, then send the message again/,
  );
});
