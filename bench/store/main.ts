// What a claim and a done mark cost on each run store: client CPU, the store's own CPU where it is a process apart, and
// runs a second. `node bench/store/main.ts [rounds]`; Redis is measured when REDIS_URL is set.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { createRedisRunStore } from "#runtime/adapters/redis/run-store.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import type { Clock } from "#runtime/core/clock.ts";
import type { ClaimRequest, RunStore } from "#runtime/ports/run-store.ts";

const rounds = Number(process.argv[2] ?? 20);
const warmUpRounds = Math.ceil(rounds / 10);
const batchesPerRound = 10;
const nothing = new Uint8Array(0);

const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (action) => void setImmediate(action),
};

interface Cost {
  wallMs: number;
  clientMicros: number;
  serverMicros: number;
}

type ServerCpu = () => Promise<number>;

async function measured(cost: Cost, serverCpu: ServerCpu, work: () => Promise<void>): Promise<void> {
  const serverBefore = await serverCpu();
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  await work();
  cost.wallMs += performance.now() - before;
  const { user, system } = process.cpuUsage(cpuBefore);
  cost.clientMicros += user + system;
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
    const row = [name, what, `batch ${batchSize} × ${inFlight}`, `client ${(clientMicros / runs).toFixed(2)} µs`, `server ${(serverMicros / runs).toFixed(2)} µs`, `${Math.round(runs / wallMs)} k/s`];
    process.stdout.write(`${row.map((cell) => cell.padEnd(16)).join("")}\n`);
  }
}

async function measureSqlite(name: string, path: string): Promise<void> {
  for (const batchSize of [256, 500]) {
    const store = createSqliteRunStore({ consumer: `bench-${batchSize}`, retentionMs: 86_400_000, path, clock });
    await store.start();
    await measure(name, store, batchSize, 1, async () => 0);
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
  await measureSqlite("sqlite memory", ":memory:");
  await measureSqlite("sqlite file", join(folder, "runs.sqlite"));
  const url = process.env["REDIS_URL"];
  if (url === undefined) process.stdout.write("redis: not measured, set REDIS_URL\n");
  else await measureRedis(url);
} finally {
  rmSync(folder, { recursive: true });
}
