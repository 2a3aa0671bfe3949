// What a claim and a done mark cost on each run store: CPU of the main thread, the store's own CPU where it is a thread or a
// process apart, and runs a second. `node bench/store/main.ts [rounds]`; Redis is measured when REDIS_URL is set.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { createRedisRunStore } from "#runtime/adapters/redis/run-store.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { ClaimRequest, RunStore, RunStoreOptions } from "#runtime/ports/run-store.ts";

const rounds = Number(process.argv[2] ?? 20);
const warmUpRounds = Math.ceil(rounds / 10);
const batchesPerRound = 10;
const nothing = new Uint8Array(0);

interface Cost {
  wallMs: number;
  clientMicros: number;
  serverMicros: number;
}

function mainThreadMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

function otherThreadsMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system - mainThreadMicros();
}

type ServerCpu = () => Promise<number>;

async function measured(cost: Cost, serverCpu: ServerCpu, work: () => Promise<void>): Promise<void> {
  const serverBefore = await serverCpu();
  const cpuBefore = mainThreadMicros();
  const before = performance.now();
  await work();
  cost.wallMs += performance.now() - before;
  cost.clientMicros += mainThreadMicros() - cpuBefore;
  cost.serverMicros += (await serverCpu()) - serverBefore;
}

function requestOf(): ClaimRequest {
  return { eventId: randomUUID(), token: `${randomUUID()}:1`, payloadHash: randomUUID().slice(0, 22), pipelineHash: "0123456789abcdef" };
}

async function inTurns<T>(parts: readonly T[], inFlight: number, call: (part: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < parts.length; from += inFlight) await Promise.all(parts.slice(from, from + inFlight).map(call));
}

/** Claims and finishes in rounds of a few batches each, `inFlight` at a time. */
async function measure(name: string, store: RunStore, batchSize: number, inFlight: number, serverCpu: ServerCpu): Promise<void> {
  const claims: Cost = { wallMs: 0, clientMicros: 0, serverMicros: 0 };
  const finishes: Cost = { wallMs: 0, clientMicros: 0, serverMicros: 0 };
  let runs = 0;
  for (let round = 0; round < rounds; round += 1) {
    const parts = Array.from({ length: batchesPerRound }, () => Array.from({ length: batchSize }, requestOf));
    const writes = parts.map((part) => part.map(({ eventId }) => ({ eventId, epoch: 1, outbox: nothing })));
    const isWarm = round >= warmUpRounds;
    await measured(isWarm ? claims : { ...claims }, serverCpu, () => inTurns(parts, inFlight, (part) => store.claim(part, 60_000)));
    await measured(isWarm ? finishes : { ...finishes }, serverCpu, () => inTurns(writes, inFlight, (part) => store.finish(part)));
    if (isWarm) runs += batchesPerRound * batchSize;
  }
  for (const [what, { wallMs, clientMicros, serverMicros }] of [["claim", claims], ["finish", finishes]] as const) {
    const row = [name, what, `batch ${batchSize} × ${inFlight}`, `main ${(clientMicros / runs).toFixed(2)} µs`, `store ${(serverMicros / runs).toFixed(2)} µs`, `${Math.round(runs / wallMs)} k/s`];
    process.stdout.write(`${row.map((cell) => cell.padEnd(16)).join("")}\n`);
  }
}

async function measureSqlite(name: string, makeStore: (options: RunStoreOptions) => RunStore, inFlight: number): Promise<void> {
  for (const batchSize of [256, 500]) {
    const store = makeStore({ consumer: `bench-${batchSize}`, retentionMs: 86_400_000 });
    await store.start();
    await measure(name, store, batchSize, inFlight, async () => otherThreadsMicros());
    await store.stop();
  }
}

async function measureRedis(url: string): Promise<void> {
  const redis = new Redis(url);
  const serverCpu = async (): Promise<number> => {
    const info = await redis.info("cpu");
    const seconds = [...info.matchAll(/^used_cpu_(?:sys|user)_main_thread:([\d.]+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
    return seconds * 1_000_000;
  };
  for (const [batchSize, inFlight] of [[256, 1], [500, 1], [500, 2]] as const) {
    const prefix = `bench-${randomUUID()}`;
    const store = createRedisRunStore({ consumer: "bench", retentionMs: 600_000, url, prefix });
    await store.start();
    await measure("redis", store, batchSize, inFlight, serverCpu);
    await store.stop();
    for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }) as AsyncIterable<string[]>) if (keys.length > 0) await redis.unlink(keys);
  }
  await redis.quit();
}

const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
try {
  await measureSqlite("sqlite memory", (options) => createSqliteRunStore({ ...options, path: ":memory:", clock: systemClock }), 1);
  await measureSqlite("sqlite file", (options) => createSqliteRunStore({ ...options, path: join(folder, "runs.sqlite"), clock: systemClock }), 1);
  await measureSqlite("sqlite thread", (options) => createThreadedSqliteRunStore({ ...options, path: join(folder, "threaded.sqlite"), clock: systemClock }), 2);
  const url = process.env["REDIS_URL"];
  if (url === undefined) process.stdout.write("redis: not measured, set REDIS_URL\n");
  else await measureRedis(url);
} finally {
  rmSync(folder, { recursive: true });
}
