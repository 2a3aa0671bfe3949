// Failures that all workers of a consumer count together, under the hash tag of the consumer, so that one script counts many at once:
//
//   holdfast:{orders}:escalation:left        escalations that are left in this hour
//   holdfast:{orders}:escalation:t:…         times of the last failures of one rule and key
//   holdfast:{orders}:escalation:k:…         when they were escalated, by which failure, and how many there were since
//
// It connects when it is first asked, and after a failure once more with the next question.
import { hash } from "node:crypto";
import type { CountAnswer, CountAsk, SharedCounts } from "../../ports/shared-counts.ts";
import { StoreUnavailableError } from "../../core/errors.ts";
import { RedisClient } from "./client.ts";
import type { RedisPlace } from "./connect.ts";
import { scripts } from "./scripts.ts";
import { consumerTag } from "./tags.ts";

export interface RedisCountsOptions extends RedisPlace {
  readonly consumer: string;
  /** Begins every key; default `holdfast`. */
  readonly prefix?: string;
  /** Default 2 000. */
  readonly commandTimeoutMs?: number;
}

const commandTimeoutMsDefault = 2_000;
const dues: readonly CountAnswer["due"][] = ["few", "now", "repeated", "held-back"];

class RedisCounts implements SharedCounts {
  readonly #options: RedisCountsOptions;
  readonly #base: string;
  #connecting: Promise<RedisClient> | undefined;
  #isStopped = false;

  constructor(options: RedisCountsOptions) {
    const { prefix = "holdfast", consumer } = options;
    this.#options = options;
    this.#base = `${prefix}:{${consumerTag(consumer)}}:escalation:`;
  }

  async count(asks: readonly CountAsk[], perHourMax: number): Promise<readonly CountAnswer[]> {
    const client = await this.#connected();
    const keys = asks.flatMap(({ key }) => {
      const code = hash("sha256", key, "base64url").slice(0, 22);
      return [`${this.#base}t:${code}`, `${this.#base}k:${code}`];
    });
    const args = asks.flatMap(({ failure, needed, kept, windowMs, repeatAfterMs }) => [failure, ...[needed, kept, windowMs, repeatAfterMs].map(String)]);
    const reply = (await client.run(scripts.count, [`${this.#base}left`, ...keys], [String(perHourMax), ...args])) as readonly number[];
    return asks.map((_ask, index) => {
      const [due = 0, count = 0, sinceLast = 0] = reply.slice(3 * index, 3 * index + 3);
      return { due: dues[due] ?? "few", count, sinceLast };
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    const client = await this.#connecting?.catch(() => undefined);
    await client?.stop();
  }

  #connected(): Promise<RedisClient> {
    if (this.#isStopped) return Promise.reject(new StoreUnavailableError("expected counts that are in use, found stopped ones"));
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  async #connect(): Promise<RedisClient> {
    const { commandTimeoutMs = commandTimeoutMsDefault } = this.#options;
    const client = new RedisClient({ ...this.#options, commandTimeoutMs, onDisturbed: () => undefined });
    try {
      await client.start();
      return client;
    } catch (error) {
      this.#connecting = undefined;
      throw error;
    }
  }
}

export function createRedisCounts(options: RedisCountsOptions): SharedCounts {
  return new RedisCounts(options);
}
