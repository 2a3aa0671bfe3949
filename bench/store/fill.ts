/** What a store holds of events that are finished, and how fast it is while they become many. */
import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { createRedisRunStore } from "#runtime/adapters/redis/run-store.ts";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { StepRecord } from "#runtime/core/run.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { Figure } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import type { Report } from "../support/report.ts";

/** A store of its own, and what it takes up, in bytes. */
interface Filled {
  readonly name: string;
  readonly open: (consumer: string) => Promise<{ readonly store: RunStore; readonly bytes: () => Promise<number> }>;
  /** CPU time of the store where it is not the main thread, in microseconds. */
  readonly storeMicros: () => Promise<number>;
}

export interface FillOptions {
  readonly folder: string;
  readonly redis: { readonly client: Redis; readonly url: string; readonly prefix: string; readonly micros: () => Promise<number> } | undefined;
  readonly otherThreadsMicros: () => number;
  /** Finished events up to which a store is filled. */
  readonly fill: number;
}

const retentionMs = 7 * 86_400_000;
const batchSize = 250;
const inFlight = 2;
const weighedEvents = 40_000;
const timedEvents = 20_000;
const nothing = new Uint8Array(0);
const payloadHash = "vyGp6PvFo4RvsFtPoIWeCReyIC8=";

export async function fill(report: Report, options: FillOptions): Promise<void> {
  const stores = storesOf(options);
  const weights: { store: string; steps: number; bytes: number }[] = [];
  const rates: { store: string; events: number; perSecond: number; main: Figure; own: Figure }[] = [];
  for (const filled of stores) {
    for (const steps of [0, 3]) {
      showProgress(`bytes of an event with ${steps} steps: ${filled.name}`);
      weights.push({ store: filled.name, steps, bytes: Math.round(await weigh(filled, steps)) });
    }
    rates.push(...(await timeWhileFilling(filled, options.fill)));
  }
  showProgress("");
  report.table({
    name: "bytes",
    title: `What a finished event takes up, kept for seven days (of ${weighedEvents.toLocaleString("en")})`,
    columns: { store: "store", steps: "steps", bytes: "bytes" },
    rows: weights,
  });
  report.table({
    name: "fill",
    title: "Claims and finishes while the store fills, each event once",
    columns: {
      store: "store",
      events: "finished events in it",
      perSecond: "events/s",
      main: "main thread CPU, µs an event",
      own: "store's own CPU, µs an event",
    },
    rows: rates,
  });
}

function storesOf({ folder, redis, otherThreadsMicros }: FillOptions): Filled[] {
  const sqlite: Filled = {
    name: "SQLite file, own thread",
    async open(consumer) {
      const path = join(folder, `${consumer}.sqlite`);
      const store = createThreadedSqliteRunStore({ consumer, path, retentionMs, clock: systemClock });
      await store.start();
      // What lies in the log is written to the file when it is closed.
      const bytes = async (): Promise<number> => {
        await store.stop();
        return statSync(path).size;
      };
      return { store, bytes };
    },
    storeMicros: () => Promise.resolve(otherThreadsMicros()),
  };
  if (redis === undefined) return [sqlite];
  const { client, url, prefix, micros } = redis;
  const used = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await client.info("memory"))?.[1]);
  return [
    sqlite,
    ...(["plain", "compact"] as const).map((layout): Filled => ({
      name: `Redis, ${layout}`,
      async open(consumer) {
        const store = createRedisRunStore({ consumer: `${consumer}-${layout}`, retentionMs, url, prefix, layout });
        await store.start();
        const before = await used();
        const bytes = async (): Promise<number> => (await used()) - before;
        return { store, bytes };
      },
      storeMicros: micros,
    })),
  ];
}

async function weigh({ open }: Filled, steps: number): Promise<number> {
  const { store, bytes } = await open(`weighed-${steps}`);
  await finishEvents(
    store,
    weighedEvents,
    Array.from({ length: steps }, (_, index) => stepOf(`step-${index}`)),
  );
  const taken = await bytes();
  await store.stop();
  return taken / weighedEvents;
}

function stepOf(name: string): StepRecord {
  return { name, kind: "idempotent", state: "completed", result: Buffer.from(JSON.stringify({ ok: true, number: 12_345 })), checksum: 1, codec: 1, atMs: 0 };
}

async function timeWhileFilling({ name, open, storeMicros }: Filled, upTo: number) {
  const { store } = await open("filled");
  const rows: { store: string; events: number; perSecond: number; main: Figure; own: Figure }[] = [];
  const marks = [10_000, 100_000, 1_000_000, 10_000_000].filter((mark) => mark < upTo);
  let events = 0;
  for (const mark of [...marks, upTo]) {
    while (events < mark - timedEvents) {
      showProgress(`${name}: ${events.toLocaleString("en")} events`);
      const more = Math.min(100_000, mark - timedEvents - events);
      await finishEvents(store, more, []);
      events += more;
    }
    const [mainBefore, ownBefore, startMs] = [mainMicros(), await storeMicros(), performance.now()];
    await finishEvents(store, timedEvents, []);
    const tookMs = performance.now() - startMs;
    events += timedEvents;
    const [main, own] = [(mainMicros() - mainBefore) / timedEvents, ((await storeMicros()) - ownBefore) / timedEvents];
    rows.push({
      store: name,
      events,
      perSecond: Math.round((timedEvents / tookMs) * 1_000),
      main: { samples: [main], digits: 2 },
      own: { samples: [own], digits: 2 },
    });
  }
  await store.stop();
  return rows;
}

function mainMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** Batches of a few at once are claimed and finished, as a worker does. */
async function finishEvents(store: RunStore, count: number, steps: readonly StepRecord[]): Promise<void> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      const size = Math.min(batchSize, left);
      left -= size;
      const eventIds = Array.from({ length: size }, () => randomUUID());
      await store.claim(
        eventIds.map((eventId, index) => ({ eventId, token: `worker-1:4711:0a1b2c3d:${index}`, payloadHash, pipelineHash: "0123456789abcdef" })),
        60_000,
      );
      await store.finish(eventIds.map((eventId) => ({ eventId, epoch: 1, outbox: nothing, steps })));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}
