/** What a peer is told, and the work as it does it by hand: a mark in Redis for each event and step, calls by fetch. */
import { Redis } from "ioredis";
import { placeOf } from "#load/generator/plain.ts";
import { type DependencyName, handlerOf, type Payload, type Tools } from "./handlers.ts";

export interface PeerOptions {
  readonly connectionString: string;
  readonly queue: string;
  readonly redisUrl: string;
  /** Of all keys in Redis. */
  readonly prefix: string;
  readonly dependencies: Readonly<Record<DependencyName, string>>;
}

/** A peer works until it is stopped. */
export interface Running {
  stop(): Promise<void>;
}

export type StartPeer = (options: PeerOptions) => Promise<Running>;

export const retentionS = 600;
const callTimeoutMs = 30_000;

/** The message as a peer reads it. */
export interface Envelope {
  readonly eventId: string;
  readonly eventType: string;
  readonly payload: Payload;
}

/** What cannot be read is for the dead-letter queue. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
}

export function envelopeOf(body: unknown): Envelope {
  let value = body;
  try {
    if (Buffer.isBuffer(body) || typeof body === "string") value = JSON.parse(body.toString()) as unknown;
  } catch {
    throw new Unreadable("expected JSON");
  }
  const { eventId, eventType, payload } = (typeof value === "object" && value !== null ? value : {}) as Partial<Envelope>;
  if (typeof eventId !== "string" || typeof eventType !== "string") throw new Unreadable("expected an event id and type");
  return { eventId, eventType, payload: payload ?? {} };
}

export function connectRedis({ redisUrl }: PeerOptions): Redis {
  return new Redis(redisUrl, { maxRetriesPerRequest: 3 });
}

export async function handle({ eventId, eventType, payload }: Envelope, attempt: number, redis: Redis, { prefix, dependencies }: PeerOptions): Promise<void> {
  const tools: Tools = {
    step: async (name, effect) => {
      const key = `${prefix}:${eventId}:${name}`;
      if ((await redis.exists(key)) === 1) return;
      await effect();
      await redis.set(key, "1", "EX", retentionS);
    },
    call: async (dependency) => {
      const response = await fetch(`${dependencies[dependency]}/hooks/bench`, {
        method: "POST",
        body: "{}",
        headers: { "content-type": "application/json", "idempotency-key": eventId, "holdfast-run": eventId, "holdfast-step": "call" },
        signal: AbortSignal.timeout(callTimeoutMs),
      });
      await response.text();
      if (!response.ok) throw new Error(`expected the dependency to answer, got ${response.status}`);
    },
  };
  await handlerOf(eventType)({ place: placeOf(eventId) ?? -1, eventId, attempt, payload }, tools);
}

export function markOf({ prefix }: PeerOptions, eventId: string): string {
  return `${prefix}:${eventId}`;
}
