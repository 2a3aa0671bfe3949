/** One client for several run stores: made for the first that starts, closed after the last that stops. */
import { RedisClient, type RedisClientOptions } from "./client.ts";
import { Signatures } from "./signatures.ts";

export class SharedRedisClient {
  /** Of the stores that have joined and want to be signed for. */
  readonly signatures: Signatures;
  readonly #options: Omit<RedisClientOptions, "onDisturbed">;
  readonly #users = new Set<() => void>();
  #client: Promise<RedisClient> | undefined;

  constructor(options: Omit<RedisClientOptions, "onDisturbed">) {
    this.#options = options;
    this.signatures = new Signatures(options.isCluster === true);
  }

  /** `onDisturbed` also names the user, who leaves with it. Rejects as `RedisClient.start` does; then nobody has joined. */
  async join(onDisturbed: () => void): Promise<RedisClient> {
    this.#users.add(onDisturbed);
    this.#client ??= this.#connect();
    try {
      return await this.#client;
    } catch (error) {
      this.#users.delete(onDisturbed);
      this.#client = undefined;
      throw error;
    }
  }

  async leave(onDisturbed: () => void): Promise<void> {
    if (!this.#users.delete(onDisturbed) || this.#users.size > 0) return;
    const client = this.#client;
    this.#client = undefined;
    await (await client)?.stop();
  }

  async #connect(): Promise<RedisClient> {
    const client = new RedisClient({
      ...this.#options,
      onDisturbed: () => {
        for (const disturbed of this.#users) disturbed();
      },
    });
    await client.start();
    return client;
  }
}
