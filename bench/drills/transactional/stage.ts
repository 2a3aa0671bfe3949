/** A broker, a Redis, a PostgreSQL whose commits are cut now and then, and the workers between them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { Pool } from "pg";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { WorkerProcess } from "#load/dev/worker-process.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { migration } from "#runtime/postgres/index.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { startPostgres } from "../../../test/support/postgres-server.ts";
import { startRedis } from "../../../test/support/redis-server.ts";
import { CommitCutter } from "./commit-cutter.ts";
import { accounts, eventType, tables, writePlugin } from "./plugin.ts";

const queue = "payments";
const lockDurationMs = 5_000;
const deliveryCountMax = 1_000;

export interface StageOptions {
  readonly workers: number;
  /** Of commits; 0 to 1. */
  readonly cutShare: number;
  readonly seed: number;
  readonly transport: TransportKind;
}

export interface Stage {
  readonly broker: Broker;
  readonly cutter: CommitCutter;
  readonly workers: readonly WorkerProcess[];
  readonly pool: Pool;
  /** All that Redis knows is lost. */
  emptyRedis(): Promise<void>;
  send(eventIds: readonly string[]): Promise<void>;
  /** Messages of the queue that have not ended. */
  open(): number;
  ended(): { readonly completed: number; readonly deadLettered: number };
  stop(): Promise<void>;
}

export async function startStage({ workers: count, cutShare, seed, transport }: StageOptions): Promise<Stage> {
  const closing: (() => Promise<unknown> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closing.toReversed()) await close();
  };
  try {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-transactional-"));
    closing.push(() => rmSync(folder, { recursive: true, force: true }));
    const redis = await startRedis(["--maxmemory-policy", "noeviction"]);
    closing.push(() => redis.stop());
    const postgres = await startPostgres();
    closing.push(() => postgres.stop());
    const pool = new Pool({ connectionString: postgres.url, max: 4 });
    // The server may be gone before the last of its connections has heard of it.
    pool.on("error", () => undefined);
    closing.push(() => pool.end());
    await pool.query(migration() + tables);
    const cutter = await CommitCutter.start(postgres.port, cutShare, seededRandom(seed));
    closing.push(() => cutter.stop());
    const broker = await startBroker({ entities: { queues: [{ name: queue, lockDurationMs, deliveryCountMax }] } });
    closing.push(() => broker.stop());
    const publisher = createAmqpPublisher({ connectionString: broker.connectionString, clock: systemClock });
    await publisher.start();
    closing.push(() => publisher.stop());
    const configFile = join(folder, "holdfast.config.json");
    const config = {
      sources: [{ queue }],
      serviceBus: { connectionString: broker.connectionString },
      transport,
      plugins: [writePlugin(folder, postgres.url.replace(`:${postgres.port}/`, `:${cutter.port}/`))],
      threads: 1,
      deliveriesMax: deliveryCountMax - 1,
      store: { kind: "redis", url: redis.url },
      logLevel: "silent",
    };
    writeFileSync(configFile, JSON.stringify(config));
    const workers = Array.from({ length: count }, () => new WorkerProcess(configFile));
    closing.push(() => Promise.all(workers.map((worker) => worker.stop())));
    await Promise.all(workers.map((worker) => worker.start()));
    const inspected = (path: string): ReturnType<Broker["inspect"]>["queues"][string] | undefined => broker.inspect().queues[path];
    return {
      broker,
      cutter,
      workers,
      pool,
      async emptyRedis() {
        const client = new Redis(redis.url);
        await client.flushall();
        client.disconnect();
      },
      send: (eventIds) => publisher.send(queue, eventIds.map(messageOf)),
      open() {
        const { active = 0, locked = 0, scheduled = 0 } = inspected(queue)?.states ?? {};
        return active + locked + scheduled;
      },
      ended: () => ({
        completed: inspected(queue)?.totals.completed ?? 0,
        deadLettered: inspected(`${queue}/$DeadLetterQueue`)?.states.active ?? 0,
      }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function messageOf(eventId: string, index: number): OutgoingMessage {
  const envelope = {
    eventId,
    eventType,
    traceId: "drill",
    correlationId: eventId,
    projectId: "drill",
    originatingAgent: "drill",
    version: "1.0",
    timestamp: "2026-01-01T00:00:00.000Z",
    payload: { account: Number(eventId.split("-").at(-1)) % accounts },
  };
  return { messageId: `${eventId}/${index}`, contentType: "application/json", headers: eventHeaders(envelope), body: Buffer.from(JSON.stringify(envelope)) };
}
