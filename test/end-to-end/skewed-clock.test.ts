// A worker in a process of its own, on a broker whose clock is an hour away from the machine's: for the worker it makes no
// difference which of the two is wrong.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { startBroker } from "#load/broker/broker.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { eventually } from "../support/eventually.ts";
import { startCommand } from "../support/holdfast-command.ts";
import { isLong } from "../support/long.ts";
import { SkewedClock } from "../support/skewed-clock.ts";
import { drillOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;
const hourMs = 3_600_000;
const count = 120;
/** Of these, how many are there before the worker is. */
const backlog = 10;
/** Short, so that every run outlasts its lock. */
const lockDurationMs = 2_000;
const runMs = 3_000;
const retryMs = 2_000;

/** Fails on the first try of each event and marks the time of each try; takes longer than a lock on the second. */
function skillIn(folder: string): string {
  return `import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { definePlugin, defineSkill, TransientError } from "${root}/runtime/index.ts";
const marks = ${JSON.stringify(join(folder, "marks"))};
const tried = new Set();
const stumbler = defineSkill({
  name: "stumbler",
  handles: [{ eventType: "Stumbled", versions: "1.x" }],
  retry: { attemptsMax: 3, immediateMax: 0, baseDelayMs: ${retryMs}, delayMaxMs: ${retryMs} },
  async run(context) {
    const { eventId } = context.event;
    appendFileSync(marks, JSON.stringify([eventId, performance.now()]) + "\\n");
    if (!tried.has(eventId)) {
      tried.add(eventId);
      throw new TransientError("not yet");
    }
    await pause(${runMs});
  },
});
export default definePlugin({ skills: [stumbler] });
`;
}

function eventOf(index: number): OutgoingMessage {
  const eventId = `e${index}`;
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

drillOnEach("with a clock an hour wrong, retries come on time and no lock is lost", async (t, transport) => {
  const isAhead = transport === "amqp";
  await retryAll(t, transport, isAhead ? -hourMs : hourMs);
  if (isLong) await retryAll(t, transport, isAhead ? hourMs : -hourMs);
});

async function retryAll(t: TestContext, transport: TransportKind, brokerAheadMs: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-skewed-"));
  const clock = new SkewedClock();
  clock.advance(brokerAheadMs);
  const broker = await startBroker({ clock, entities: { queues: [{ name: "input", lockDurationMs }] } });
  const publisher = createAmqpPublisher({ connectionString: broker.connectionString, clock: systemClock });
  const place = join(folder, "stumbler");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "stumbler", version: "1.0.0", entry: "./index.ts", skills: ["stumbler"], dependencies: [] }),
  );
  writeFileSync(join(place, "index.ts"), skillIn(folder));
  const config = join(folder, "holdfast.config.json");
  writeFileSync(
    config,
    JSON.stringify({
      sources: [{ queue: "input" }],
      serviceBus: { connectionString: broker.connectionString },
      transport,
      plugins: ["./stumbler"],
      threads: 1,
      inFlightMax: 200,
      skills: { stumbler: { concurrentMax: 200 } },
    }),
  );
  t.after(async () => {
    await publisher.stop();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await publisher.start();
  // What lies there before the worker comes shows no more of the broker's time than that it is later; their copies show it well.
  await publisher.send(
    "input",
    Array.from({ length: backlog }, (_, index) => eventOf(index)),
  );
  const worker = startCommand(["start", "-c", config], env);
  t.after(() => worker.process.kill("SIGKILL"));
  const queue = (): NonNullable<ReturnType<typeof broker.inspect>["queues"][string]> => broker.inspect().queues["input"]!;
  await eventually("the backlog to be completed", () => queue().totals.completed === 2 * backlog, 60_000);
  await publisher.send(
    "input",
    Array.from({ length: count - backlog }, (_, index) => eventOf(backlog + index)),
  );
  await eventually("everything to be completed", () => queue().totals.completed === 2 * count, 60_000).catch((error: unknown) =>
    assert.fail(`${String(error)}: ${JSON.stringify(queue())}`),
  );
  worker.process.kill("SIGTERM");
  const ended = await worker.done;
  assert.equal(ended.code, 0, ended.stderr);
  const pausesMs = pausesIn(folder);
  assert.equal(pausesMs.length, count);
  const earliestMs = Math.min(...pausesMs.slice(backlog));
  assert.ok(earliestMs >= retryMs - 500, `expected no retry much before its time, found one after ${earliestMs} ms`);
  assert.ok(Math.max(...pausesMs) < 20_000, `expected every retry soon after its time, found one after ${Math.max(...pausesMs)} ms`);
  assert.deepEqual([queue().totals.expiredLocks, queue().totals.delivered, ended.stderr.includes("lock.lost")], [0, 2 * count, false]);
  // The first receipts are of messages that have waited for the worker to start; what differs little from what was reported is not.
  const told = [...ended.stderr.matchAll(/"brokerAheadMs":(-?\d+)/g)].map(([, aheadMs]) => Number(aheadMs));
  assert.ok(told.length > 0 && Math.abs((told.at(-1) ?? 0) - brokerAheadMs) < 10_000, `expected to be told of ${brokerAheadMs} ms, found ${told.join(", ")}`);
}

/** The time between the two tries of each event. */
function pausesIn(folder: string): number[] {
  const first = new Map<string, number>();
  return readFileSync(join(folder, "marks"), "utf8")
    .trimEnd()
    .split("\n")
    .flatMap((line) => {
      const [eventId, atMs] = JSON.parse(line) as [string, number];
      const beforeMs = first.get(eventId);
      first.set(eventId, atMs);
      return beforeMs === undefined ? [] : [atMs - beforeMs];
    });
}
