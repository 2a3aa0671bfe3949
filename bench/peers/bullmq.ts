/** A BullMQ worker: it reads jobs from Redis, where the others read messages from the broker. */
import { fileURLToPath } from "node:url";
import { availableParallelism } from "node:os";
import { type Job, Queue, UnrecoverableError, Worker } from "bullmq";
import { Redis } from "ioredis";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { connectRedis, envelopeOf, handle, type PeerOptions, type Running, Unreadable } from "./peer.ts";

export interface JobData {
  /** The message's body. */
  readonly body: string;
}

const concurrency = 100;
const sandbox = fileURLToPath(import.meta.resolve("./bullmq-sandbox.ts"));

export function startBullMq(options: PeerOptions): Promise<Running> {
  const redis = connectRedis(options);
  return start(
    options,
    concurrency,
    (job) => processJob(job, redis, options),
    () => redis.disconnect(),
  );
}

/** The processor in a file of its own, which BullMQ runs in other processes: for what needs the CPU. */
export function startBullMqSandboxed(options: PeerOptions): Promise<Running> {
  process.env["HOLDFAST_BENCH_PEER"] = JSON.stringify(options);
  return start(options, availableParallelism(), sandbox, () => undefined);
}

export async function processJob(job: Pick<Job<JobData>, "data" | "attemptsMade">, redis: Redis, options: PeerOptions): Promise<void> {
  try {
    await handle(envelopeOf(job.data.body), job.attemptsMade + 1, redis, options);
  } catch (error) {
    if (error instanceof Unreadable) throw new UnrecoverableError(error.message);
    throw error;
  }
}

async function start(
  { queue, redisUrl, prefix }: PeerOptions,
  atOnce: number,
  processor: string | ((job: Job<JobData>) => Promise<void>),
  end: () => void,
): Promise<Running> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const worker = new Worker<JobData>(queue, processor, { connection, prefix, concurrency: atOnce });
  worker.on("error", () => undefined);
  await worker.waitUntilReady();
  return {
    async stop() {
      await worker.close();
      connection.disconnect();
      end();
    },
  };
}

/** What stands in for the broker's queue: jobs are put here, and their ends are read here. */
export class JobQueue {
  readonly #connection: Redis;
  readonly #queue: Queue<JobData>;

  constructor({ queue, redisUrl, prefix }: Pick<PeerOptions, "queue" | "redisUrl" | "prefix">) {
    this.#connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
    this.#queue = new Queue<JobData>(queue, { connection: this.#connection, prefix });
  }

  /** The message's id is the job's: BullMQ takes a job with a known id once. */
  async add(messages: readonly OutgoingMessage[]): Promise<void> {
    await this.#queue.addBulk(
      messages.map(({ messageId, body }) => ({ name: "event", data: { body: Buffer.from(body).toString() }, opts: { jobId: messageId, attempts: 3 } })),
    );
  }

  async ended(): Promise<number> {
    const { completed = 0, failed = 0 } = await this.#queue.getJobCounts("completed", "failed");
    return completed + failed;
  }

  async left(): Promise<number> {
    const counts = await this.#queue.getJobCounts("waiting", "active", "delayed", "prioritized");
    return Object.values(counts).reduce((sum, count) => sum + count, 0);
  }

  /** By message id: how each job ended. */
  async outcomes(): Promise<Map<string, readonly string[]>> {
    const outcomes = new Map<string, readonly string[]>();
    for (const [state, word] of [
      ["completed", "completed"],
      ["failed", "deadLettered"],
    ] as const) {
      for (const job of await this.#queue.getJobs([state], 0, -1)) outcomes.set(String(job.id), [word]);
    }
    return outcomes;
  }

  async stop(): Promise<void> {
    await this.#queue.obliterate({ force: true });
    await this.#queue.close();
    this.#connection.disconnect();
  }
}
