/** What a store holds of events that are finished, how fast it is while they become many, and whether it still knows them. */
import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { createRedisRunStore } from "#runtime/adapters/redis/run-store.ts";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { StepRecord } from "#runtime/core/run.ts";
import type { ClaimRequest, RunStore } from "#runtime/ports/run-store.ts";
import { startRedis } from "../../test/support/redis-server.ts";
import { planted } from "../support/plant.ts";
import { showProgress } from "../support/progress.ts";
import type { Report } from "../support/report.ts";
import { type Filling, type Mark, tellFilled, type Weight } from "./tell-filled.ts";

interface Opened {
  readonly store: RunStore;
  /** What it takes up. A file is closed for it. */
  readonly bytes: () => Promise<number>;
  /** CPU time of the store where it is not the main thread, in microseconds. */
  readonly storeMicros: () => Promise<number>;
  readonly close: () => Promise<void>;
}

/** A store that nobody else uses, with nothing in it. */
interface Filled {
  readonly name: string;
  readonly open: (consumer: string) => Promise<Opened>;
}

export interface FillOptions {
  readonly folder: string;
  readonly redisMicros: (client: Redis) => Promise<number>;
  readonly otherThreadsMicros: () => number;
  /** Finished events up to which a store is filled. */
  readonly fill: number;
}

const retentionMs = 7 * 86_400_000;
const batchSize = 250;
const inFlight = 2;
const weighedEvents = 40_000;
/** At each mark the rate is taken so often, over so many events together, or over half of what there is then. */
const slices = 5;
const timedEvents = 20_000;
/** As many of the first ones, and of the last ones, are claimed once more. */
const askedAgain = 500;
const nothing = new Uint8Array(0);
const payloadHash = "vyGp6PvFo4RvsFtPoIWeCReyIC8=";

export async function fill(report: Report, options: FillOptions): Promise<void> {
  const weights: Weight[] = [];
  const fillings: Filling[] = [];
  for (const filled of storesOf(options)) {
    for (const steps of [0, 3]) {
      showProgress(`bytes of an event with ${steps} steps: ${filled.name}`);
      weights.push({ store: filled.name, steps, bytes: Math.round(await weigh(filled, steps)) });
    }
    fillings.push(await timeWhileFilling(filled, options.fill));
  }
  showProgress("");
  tellFilled(report, weights, fillings, weighedEvents);
}

function storesOf({ folder, redisMicros, otherThreadsMicros }: FillOptions): Filled[] {
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
      return { store, bytes, storeMicros: () => Promise.resolve(otherThreadsMicros()), close: () => store.stop() };
    },
  };
  return [
    sqlite,
    ...(["plain", "compact"] as const).map((layout): Filled => ({ name: `Redis, ${layout}`, open: (consumer) => openRedis(consumer, layout, redisMicros) })),
  ];
}

/** On a server of its own: what others have there may go meanwhile. */
async function openRedis(consumer: string, layout: "plain" | "compact", redisMicros: FillOptions["redisMicros"]): Promise<Opened> {
  const server = await startRedis(["--maxmemory-policy", "noeviction"]);
  const client = new Redis(server.url);
  const store = createRedisRunStore({ consumer, retentionMs, url: server.url, layout });
  await store.start();
  // But for what it keeps for connections.
  const used = async (): Promise<number> => {
    const info = await client.info("memory");
    const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
    return field("used_memory") - field("mem_clients_normal");
  };
  const before = await used();
  return {
    store,
    bytes: async () => (await used()) - before,
    storeMicros: () => redisMicros(client),
    async close() {
      await store.stop();
      client.disconnect();
      await server.stop();
    },
  };
}

async function weigh({ open }: Filled, steps: number): Promise<number> {
  const { store, bytes, close } = await open(`weighed-${steps}`);
  try {
    const records = Array.from({ length: steps }, (_, index) => stepOf(`step-${index}`));
    await finishEvents(store, weighedEvents, records);
    return (await bytes()) / weighedEvents;
  } finally {
    await close();
  }
}

function stepOf(name: string): StepRecord {
  return { name, kind: "idempotent", state: "completed", result: Buffer.from(JSON.stringify({ ok: true, number: 12_345 })), checksum: 1, codec: 1, atMs: 0 };
}

async function timeWhileFilling({ name, open }: Filled, upTo: number): Promise<Filling> {
  const opened = await open("filled");
  try {
    return await fillAndTime(name, opened, upTo);
  } finally {
    await opened.close();
  }
}

async function fillAndTime(name: string, { store, storeMicros }: Opened, upTo: number): Promise<Filling> {
  const marks: Mark[] = [];
  const known: string[] = [];
  let latest: readonly string[] = [];
  let events = 0;
  for (const mark of [...[10_000, 100_000, 1_000_000, 10_000_000].filter((one) => one < upTo), upTo]) {
    const timed = slices * Math.floor(Math.min(timedEvents, mark / 2) / slices);
    while (events < mark - timed) {
      showProgress(`${name}: ${events.toLocaleString("en")} events`);
      const finished = await finishEvents(store, Math.min(100_000, mark - timed - events), []);
      events += finished.length;
      if (known.length === 0) known.push(...finished.slice(0, askedAgain));
    }
    const [mainBefore, ownBefore] = [mainMicros(), await storeMicros()];
    const perSecond: number[] = [];
    for (let slice = 0; slice < slices; slice += 1) {
      const startMs = performance.now();
      latest = await finishEvents(store, timed / slices, []);
      perSecond.push((latest.length * 1_000) / (performance.now() - startMs));
    }
    events += timed;
    marks.push({ events, perSecond, main: (mainMicros() - mainBefore) / timed, own: ((await storeMicros()) - ownBefore) / timed });
  }
  const forgotten = await notDone(store, [...known, ...latest.slice(-askedAgain)]);
  return { store: name, marks, forgotten };
}

function mainMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

function requestOf(eventId: string, index: number): ClaimRequest {
  return { eventId, token: `worker-1:4711:0a1b2c3d:${index}`, payloadHash, pipelineHash: "0123456789abcdef" };
}

/** Those that the store would have done once more. */
async function notDone(store: RunStore, eventIds: readonly string[]): Promise<readonly string[]> {
  const asked = planted() === "twice" ? [...eventIds, randomUUID()] : eventIds;
  const results = await store.claim(
    asked.map((eventId, index) => ({ ...requestOf(eventId, index), token: `worker-2:4711:0a1b2c3d:${index}` })),
    60_000,
  );
  return asked.filter((_, index) => results[index]?.kind !== "done");
}

/** Batches of a few at once are claimed and finished, as a worker does. Returns their ids. */
async function finishEvents(store: RunStore, count: number, steps: readonly StepRecord[]): Promise<readonly string[]> {
  const finished: string[] = [];
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      const size = Math.min(batchSize, left);
      left -= size;
      const eventIds = Array.from({ length: size }, () => randomUUID());
      await store.claim(eventIds.map(requestOf), 60_000);
      await store.finish(eventIds.map((eventId) => ({ eventId, epoch: 1, outbox: nothing, steps })));
      finished.push(...eventIds);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return finished;
}
