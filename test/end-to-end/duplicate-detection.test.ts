// A worker on entities that detect duplicates, where somebody else has taken every message id that can be foretold.
import { strict as assert } from "node:assert";
import { hash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startBroker } from "#load/broker/broker.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { eventually } from "../support/eventually.ts";
import { startCommand } from "../support/holdfast-command.ts";
import { testOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;

/** Fails on its first try; emits on its second. */
const skill = `import { definePlugin, defineSkill, TransientError } from "${root}/runtime/index.ts";
let tries = 0;
const stumbler = defineSkill({
  name: "stumbler",
  handles: [{ eventType: "Stumbled", versions: "1.x" }],
  retry: { attemptsMax: 3, immediateMax: 0, baseDelayMs: 50, delayMaxMs: 50 },
  run(context) {
    tries += 1;
    if (tries === 1) throw new TransientError("not yet");
    context.emit("Done", {});
  },
});
export default definePlugin({ skills: [stumbler] });
`;

function eventOf(eventId: string): OutgoingMessage {
  const envelope = {
    eventId,
    eventType: "Stumbled",
    traceId: "t",
    correlationId: eventId,
    projectId: "p",
    originatingAgent: "a",
    version: "1.0",
    timestamp: "2026-01-01T00:00:00.000Z",
    payload: {},
  };
  return { messageId: eventId, contentType: "application/json", headers: eventHeaders(envelope), body: Buffer.from(JSON.stringify(envelope)) };
}

function foreign(messageId: string): OutgoingMessage {
  return { messageId, body: Buffer.from("{}"), headers: {} };
}

testOnEach("a run is tried again, and its event published, although messages of the ids that could be foretold were sent before", async (t, transport) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-foretold-"));
  const settings = { requiresDuplicateDetection: true, duplicateWindowMs: 600_000 };
  const broker = await startBroker({
    record: true,
    entities: {
      queues: [
        { name: "input", ...settings },
        { name: "output", ...settings },
      ],
    },
  });
  const publisher = createAmqpPublisher({ connectionString: broker.connectionString, clock: systemClock });
  const place = join(folder, "stumbler");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "stumbler", version: "1.0.0", entry: "./index.ts", skills: ["stumbler"], dependencies: [] }),
  );
  writeFileSync(join(place, "index.ts"), skill);
  const config = join(folder, "holdfast.config.json");
  writeFileSync(
    config,
    JSON.stringify({
      sources: [{ queue: "input" }],
      serviceBus: { connectionString: broker.connectionString },
      transport,
      plugins: ["./stumbler"],
      threads: 1,
      publish: { entity: "output" },
    }),
  );
  t.after(async () => {
    await publisher.stop();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await publisher.start();
  await publisher.send("input", [eventOf("e")]);
  // The event's own message has the number 1; an emitted event's id is made of what everybody knows.
  await publisher.send("input", ["e~1", "e~c1"].map(foreign));
  const emittedId = hash("sha256", JSON.stringify(["input", "e", 0, "emit", "", 0]), "hex").slice(0, 32);
  await publisher.send("output", [foreign(emittedId)]);
  const worker = startCommand(["start", "-c", config], env);
  t.after(() => worker.process.kill("SIGKILL"));
  await eventually(
    "the input to be empty",
    () => Object.values(broker.inspect().queues["input"]?.states ?? {}).reduce((sum, count) => sum + count, 0) === 2,
    30_000,
  );
  worker.process.kill("SIGTERM");
  const ended = await worker.done;
  assert.equal(ended.code, 0, ended.stderr);
  const { input, output } = broker.inspect().queues;
  assert.deepEqual([input?.totals.completed, input?.totals.duplicatesDropped, input?.states.deadLettered], [2, 0, 2], ended.stderr);
  assert.deepEqual([output?.totals.accepted, output?.totals.duplicatesDropped], [2, 0]);
  const published = [...(broker.outcomes("output")?.keys() ?? [])].find((id) => id !== emittedId);
  assert.ok(published?.startsWith(`${emittedId}~`), `expected the id of the emitted event to begin with ${emittedId}, found ${published}`);
});
