// A store on Redis whose layout is looked at from beside it.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { Redis } from "ioredis";
import { createRedisRunRecords } from "#runtime/adapters/redis/run-records.ts";
import { createRedisRunStore, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import type { RunState } from "#runtime/core/run.ts";
import type { ClaimRequest, ClaimResult, RunStore } from "#runtime/ports/run-store.ts";
import { claimOf } from "../contracts/run-store-fixtures.ts";
import { eventually } from "./eventually.ts";

/** Of the server that test/run.ts has started. */
export const url = process.env["REDIS_URL"] ?? "";
assert.ok(url !== "", "expected REDIS_URL; run this file with: node test/run.ts");
export const retentionMs = 3_600_000;
export const leaseMs = 60_000;
export const outbox = new Uint8Array(0);
export const payloadHash = "vyGp6PvFo4RvsFtPoIWeCReyIC8=";
export const everyState: readonly RunState[] = ["running", "waiting", "done", "dead", "parked"];

interface Bundle {
  readonly redis: Redis;
  readonly base: string;
  readonly prefix: string;
  readonly open: (overrides?: Partial<RedisRunStoreOptions>) => Promise<RunStore>;
  /** How many records are in each bucket. */
  readonly lengths: () => Promise<number[]>;
  /** Event ids by state, from the first page to the last. */
  readonly listed: () => Promise<Record<string, string[]>>;
}

export function bundleOf(t: TestContext): Bundle {
  const redis = new Redis(url);
  const prefix = `layout-${randomUUID()}`;
  const base = `${prefix}:{orders}:`;
  const options = { consumer: "orders", retentionMs, url, prefix };
  t.after(async () => {
    for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }) as AsyncIterable<string[]>) if (keys.length > 0) await redis.unlink(keys);
    await redis.quit();
  });
  const open = async (overrides: Partial<RedisRunStoreOptions> = { layout: "compact" }): Promise<RunStore> => {
    const store = createRedisRunStore({ ...options, ...overrides });
    t.after(() => store.stop());
    await store.start();
    return store;
  };
  const listed = async (): Promise<Record<string, string[]>> => {
    const records = createRedisRunRecords(options);
    await records.start();
    const found: Record<string, Set<string>> = {};
    let cursor: string | undefined;
    do {
      const page = await records.scan(cursor, everyState);
      for (const { eventId, state } of page.runs) (found[state] ??= new Set()).add(eventId);
      cursor = page.next;
    } while (cursor !== undefined);
    await records.stop();
    return Object.fromEntries(Object.entries(found).map(([state, ids]) => [state, [...ids].sort()]));
  };
  const lengths = async (): Promise<number[]> => {
    const count = Number.parseInt((await redis.get(`${base}buckets`)) ?? "0", 10);
    return Promise.all(Array.from({ length: count }, (_, number) => redis.hlen(`${base}b:${number}`)));
  };
  return { redis, base, prefix, open, lengths, listed };
}

export function requestOf(eventId: string, overrides: Partial<ClaimRequest> = {}): ClaimRequest {
  return claimOf(eventId, { token: "worker-1:4711:0a1b2c3d:17", payloadHash, ...overrides });
}

export function kindsOf(results: readonly ClaimResult[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of results) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

export async function finished(store: RunStore, eventIds: readonly string[]): Promise<void> {
  const claimed = await store.claim(
    eventIds.map((eventId) => requestOf(eventId)),
    leaseMs,
  );
  assert.deepEqual(kindsOf(claimed), { acquired: eventIds.length });
  const written = await store.finish(eventIds.map((eventId) => ({ eventId, epoch: 1, outbox })));
  assert.ok(written.every((result) => result === "written"));
}

/** By the server's clock. */
export async function nowMsOf(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}

/** Lets this much pass on the server's clock. */
export async function passed(redis: Redis, ms: number): Promise<void> {
  const target = (await nowMsOf(redis)) + ms + 1;
  await eventually(`${ms} ms to pass on Redis's clock`, async () => (await nowMsOf(redis)) >= target);
}

export const ids = {
  uuids: (count: number): string[] => Array.from({ length: count }, () => randomUUID()),
  texts: (count: number): string[] => Array.from({ length: count }, (_, index) => `order-${index}`),
};

/** Claims fresh events, in calls of so many. */
export async function claimed(store: RunStore, count: number, perCall = 500): Promise<void> {
  for (let left = count; left > 0; left -= perCall)
    await store.claim(
      ids.uuids(Math.min(left, perCall)).map((eventId) => requestOf(eventId)),
      leaseMs,
    );
}
