// A worker among producers that know nothing of it: every form arrives, and what does not says why.
import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { type ServiceBusMessage, ServiceBusClient } from "@azure/service-bus";
import { pack } from "msgpackr";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { eventGridEvent } from "../support/event-messages.ts";
import { eventually } from "../support/eventually.ts";
import { startCommand } from "../support/holdfast-command.ts";
import { testOnEach } from "../support/transports.ts";

const { REDIS_URL: _redis, ...env } = process.env;
const types = ["Microsoft.Storage.BlobCreated", "Ordered", "Shop.OrderPlaced"];

interface Bench {
  readonly broker: Broker;
  readonly file: string;
  /** What the skill was given, by event id, as `inspect` shows it. */
  readonly seen: () => Map<string, string>;
}

async function startBench(t: TestContext, transport: string): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-foreign-"));
  const broker = await startBroker({ entities: { queues: ["input"] } });
  t.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const marks = join(folder, "marks");
  const plugin = join(folder, "recorder");
  mkdirSync(plugin);
  writeFileSync(join(plugin, "holdfast.plugin.json"), JSON.stringify({ name: "recorder", version: "1.0.0", entry: "./index.mjs", skills: ["recorder"] }));
  writeFileSync(
    join(plugin, "index.mjs"),
    `import { appendFileSync } from "node:fs";
     import { inspect } from "node:util";
     import { definePlugin, defineSkill } from "holdfast";
     const skill = defineSkill({
       name: "recorder",
       handles: ${JSON.stringify(types.map((eventType) => ({ eventType, versions: "1.x" })))},
       run({ event }) { appendFileSync(${JSON.stringify(marks)}, event.eventId + " " + inspect(event.payload, { breakLength: Infinity }) + "\\n"); },
     });
     export default definePlugin({ skills: [skill] });`,
  );
  const file = join(folder, "holdfast.config.mjs");
  const settings = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString: broker.connectionString },
    plugins: [plugin],
    pluginRoots: [folder],
    threads: 1,
    transport,
  };
  writeFileSync(
    file,
    `import { defineConfig } from "holdfast";
     const massTransit = {
       name: "masstransit",
       read(message) {
         const types = message.field("messageType");
         if (!Array.isArray(types)) return undefined;
         return { eventId: message.field("messageId"), eventType: types[0].replace("urn:message:", "").replace(":", "."), payload: "message" };
       },
     };
     export default defineConfig({ ...${JSON.stringify(settings)}, envelopes: [massTransit] });\n`,
  );
  const seen = (): Map<string, string> =>
    new Map(
      (existsSync(marks) ? readFileSync(marks, "utf8").split("\n") : [])
        .filter((line) => line !== "")
        .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
    );
  return { broker, file, seen };
}

const canonical = (eventId: string, changes: object = {}): Record<string, unknown> => ({
  eventId,
  eventType: "Ordered",
  version: "1.0",
  traceId: "t",
  correlationId: "c",
  projectId: "p",
  originatingAgent: "a",
  timestamp: "2024-05-01T12:00:00Z",
  payload: { amount: 1 },
  ...changes,
});
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const cloudEvent = { specversion: "1.0", type: "Ordered", source: "/shop" };
const headersOf = (eventId: string): Record<string, string> => ({ eventId, eventType: "Ordered", version: "1.0" });
const again = { timestamp: "2024-05-01T13:00:00Z", traceId: "u" };

const readable: readonly ServiceBusMessage[] = [
  { body: bytesOf(eventGridEvent), applicationProperties: { "aeg-event-type": "Notification", "aeg-data-version": "" } },
  { body: bytesOf([{ ...eventGridEvent, id: "grid-2" }]) },
  {
    body: bytesOf({ ...cloudEvent, id: "cloud-1", datacontenttype: "image/png", data_base64: "iVBORw==" }),
    contentType: "application/cloudevents+json; charset=utf-8",
  },
  {
    body: bytesOf({ n: 1 }),
    contentType: "application/json",
    applicationProperties: { cloudEvents_id: "cloud-2", cloudEvents_type: "Ordered", cloudEvents_source: "/shop" },
  },
  {
    body: bytesOf({ messageId: "mass-1", messageType: ["urn:message:Shop:OrderPlaced"], message: { id: 7 } }),
    contentType: "application/vnd.masstransit+json",
  },
  { body: Buffer.from(pack(canonical("packed-1", { payload: { big: 2n ** 60n } }))), contentType: "application/msgpack" },
  { body: bytesOf(canonical("resent-1")), applicationProperties: { DeadLetterReason: "UnknownEventType", DeadLetterErrorDescription: "expected …" } },
  { body: bytesOf(canonical("twice-1")) },
  { body: bytesOf(canonical("twice-1", again)) },
  { body: gzipSync(bytesOf(canonical("zipped-1"))), applicationProperties: { ...headersOf("zipped-1"), "content-encoding": "gzip" } },
  { body: gzipSync(bytesOf(canonical("zipped-1", again))), applicationProperties: { ...headersOf("zipped-1"), "content-encoding": "gzip" } },
];

const unreadable: readonly (readonly [message: ServiceBusMessage, reason: string, said: RegExp])[] = [
  [{ body: Buffer.from(JSON.stringify(canonical("x")), "utf16le") }, "InvalidEnvelope", /UTF-16 text without a byte order mark/],
  [{ body: Buffer.from("<order/>"), applicationProperties: headersOf("xml-1") }, "InvalidEnvelope", /XML or HTML/],
  [{ body: gzipSync(bytesOf(canonical("x"))) }, "InvalidEnvelope", /gzip data; say so in the application property content-encoding/],
  [
    { body: bytesOf({ messageId: 7, messageType: ["urn:message:Shop:OrderPlaced"] }) },
    "InvalidEnvelope",
    /envelope hook 'masstransit': eventId: expected a string/,
  ],
];

testOnEach("messages of others run, each once, and those that cannot be read say what they are", async (t, transport) => {
  const { broker, file, seen } = await startBench(t, transport);
  const client = new ServiceBusClient(broker.connectionString);
  t.after(() => client.close());
  const sender = client.createSender("input");
  for (const message of [...readable, ...unreadable.map(([message]) => message)]) await sender.sendMessages(message);
  const annotated = [
    { body: [canonical("x")], bodyType: "sequence" as const },
    { body: 7, bodyType: "value" as const },
  ];
  for (const message of annotated) await sender.sendMessages(message);
  const deadMax = unreadable.length + annotated.length;
  const worker = startCommand(["start", "-c", file], env);
  await eventually(
    "every message to end",
    () => {
      const totals = broker.inspect().queues["input"]?.totals;
      return totals !== undefined && totals.completed + totals.deadLettered === readable.length + deadMax;
    },
    60_000,
  );
  worker.process.kill("SIGTERM");
  const { code, stderr } = await worker.done;
  assert.equal(code, 0, stderr);

  const dead = await client.createReceiver("input", { subQueueType: "deadLetter" }).receiveMessages(deadMax, { maxWaitTimeInMs: 5_000 });
  const said = dead.map(({ deadLetterReason, deadLetterErrorDescription }) => `${deadLetterReason}: ${deadLetterErrorDescription}`);
  assert.equal(said.length, deadMax, said.join("\n"));
  for (const [, reason, text] of unreadable)
    assert.ok(
      said.some((one) => one.startsWith(reason) && text.test(one)),
      `${text} in\n${said.join("\n")}`,
    );
  assert.ok(
    said.some((one) => /expected an object, found an AMQP sequence; send/.test(one)),
    said.join("\n"),
  );
  assert.ok(
    said.some((one) => /found an AMQP value that is neither text of an envelope nor a map/.test(one)),
    said.join("\n"),
  );

  assert.deepEqual(
    seen(),
    new Map([
      [String(eventGridEvent["id"]), "{ api: 'PutBlob', contentLength: 30 }"],
      ["grid-2", "{ api: 'PutBlob', contentLength: 30 }"],
      ["cloud-1", "Uint8Array(4) [ 137, 80, 78, 71 ]"],
      ["cloud-2", "{ n: 1 }"],
      ["mass-1", "{ id: 7 }"],
      ["packed-1", "{ big: 1152921504606846976n }"],
      ["resent-1", "{ amount: 1 }"],
      ["twice-1", "{ amount: 1 }"],
      ["zipped-1", "{ amount: 1 }"],
    ]),
  );
});
