// The buckets of rate limits on Redis, for all workers with the same Redis and prefix: a limit is the dependency's, whichever queue
// its callers read. Each key is a hash tag of its own, so that a cluster spreads them; what is drawn at once goes out together.
//
//   holdfast:{limit:mailer/requests/tenant=acme}   level and time of the bucket (scripts/draw.lua), until it would be full
import { StoreUnavailableError } from "../../core/errors.ts";
import type { BucketGrant } from "../../core/token-bucket.ts";
import type { LimitDraw, SharedLimits } from "../../ports/shared-limits.ts";
import { RedisClient } from "./client.ts";
import type { RedisPlace } from "./connect.ts";
import { scripts } from "./scripts.ts";

export interface RedisLimitsOptions extends RedisPlace {
  /** Begins every key; default `holdfast`. */
  readonly prefix?: string;
  /** Default 2 000. */
  readonly commandTimeoutMs?: number;
}

const commandTimeoutMsDefault = 2_000;

class RedisLimits implements SharedLimits {
  readonly #options: RedisLimitsOptions;
  #client: RedisClient | undefined;

  constructor(options: RedisLimitsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.#client !== undefined) return;
    const { commandTimeoutMs = commandTimeoutMsDefault } = this.#options;
    const client = new RedisClient({ ...this.#options, commandTimeoutMs, onDisturbed: () => undefined });
    await client.start();
    this.#client = client;
  }

  async draw(draws: readonly LimitDraw[]): Promise<readonly BucketGrant[]> {
    const client = this.#client;
    if (client === undefined) throw new StoreUnavailableError("expected started limits, found stopped ones; call start() first");
    return Promise.all(draws.map((draw) => this.#draw(client, draw)));
  }

  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.stop();
  }

  async #draw(client: RedisClient, { key, perMinute, capacity, need, want, back, waitMaxMs }: LimitDraw): Promise<BucketGrant> {
    const { prefix = "holdfast" } = this.#options;
    const answer = await client.run(scripts.draw, [`${prefix}:{limit:${key}}`], [perMinute, capacity, need, want, back, waitMaxMs].map(String));
    const [granted = 0, level = 0, afterMs = 0] = (answer as readonly Buffer[]).map(Number);
    return { granted, level, afterMs };
  }
}

/** Throws `ConfigurationError` at its start when Redis refuses its credentials. */
export function createRedisLimits(options: RedisLimitsOptions): SharedLimits {
  return new RedisLimits(options);
}
