// The board of a pool on Redis, under the hash tag of its consumer:
//
//   holdfast:{orders}:board:workers   the notes of a topic (scripts/board-put.lua)
//
// It shares the connection of the run stores, and joins it with the first question.
import { notesMax, type Note, type PoolBoard } from "../../ports/pool-board.ts";
import { StoreUnavailableError } from "../../core/errors.ts";
import type { RedisClient } from "./client.ts";
import type { Script } from "./scripts.ts";
import { scripts } from "./scripts.ts";
import type { SharedRedisClient } from "./shared-client.ts";
import { consumerTag } from "./tags.ts";

export interface RedisBoardOptions {
  readonly consumer: string;
  /** Begins every key; default `holdfast`. */
  readonly prefix?: string | undefined;
}

class RedisBoard implements PoolBoard {
  readonly #base: string;
  readonly #shared: SharedRedisClient;
  #client: Promise<RedisClient> | undefined;
  #isStopped = false;
  readonly #disturbed = (): void => undefined;

  constructor({ consumer, prefix = "holdfast" }: RedisBoardOptions, shared: SharedRedisClient) {
    this.#base = `${prefix}:{${consumerTag(consumer)}}:board:`;
    this.#shared = shared;
  }

  async put(topic: string, name: string, text: string, keepMs: number): Promise<void> {
    await this.#run(scripts.boardPut, topic, [name, text, String(keepMs), String(notesMax)]);
  }

  async list(topic: string): Promise<readonly Note[]> {
    return this.#ask(topic, "");
  }

  async take(topic: string, name: string): Promise<string | undefined> {
    const [taken] = await this.#ask(topic, name);
    return taken?.text;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    const client = this.#client;
    this.#client = undefined;
    const joined = await client?.catch(() => undefined);
    if (joined !== undefined) await this.#shared.leave(this.#disturbed);
  }

  async #ask(topic: string, name: string): Promise<readonly Note[]> {
    const reply = ((await this.#run(scripts.boardList, topic, [name])) as readonly Buffer[]).map(String);
    return reply.flatMap((text, index) => (index % 2 === 0 ? [] : [{ name: reply[index - 1] ?? "", text }]));
  }

  async #run(script: Script, topic: string, args: readonly string[]): Promise<unknown> {
    const client = await this.#joined();
    return client.run(script, [`${this.#base}${topic}`], args);
  }

  async #joined(): Promise<RedisClient> {
    if (this.#isStopped) throw new StoreUnavailableError("expected a board that is in use, found a stopped one");
    this.#client ??= this.#shared.join(this.#disturbed);
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }
}

export function createRedisBoard(options: RedisBoardOptions, shared: SharedRedisClient): PoolBoard {
  return new RedisBoard(options, shared);
}
