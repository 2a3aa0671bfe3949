// The run store on Redis, shared by all workers of a pool.
//
// Every batch is one script call, so it is atomic against every other worker; a large batch is split so that no call keeps
// Redis from its other clients for more than a few milliseconds. A consumer's keys share a hash tag and so a cluster's slot:
//
//   holdfast:{orders}:sentinel      set once, without an end of life; another id in it means that records were lost. It also says
//                                   when that was last, so that every worker hears of it with its next claim, or at its start
//   holdfast:{orders}:server        the replication id of the server that a worker met last; another one may have lost the last writes
//   holdfast:{orders}:r:<eventId>   a run's record (its layout stands in scripts/record.lua)
//   holdfast:{orders}:s:<eventId>   its steps, from the first checkpoint on
//   holdfast:{orders}:h:<eventId>   its deaths and what brought it back, from the first death on
//   holdfast:{orders}:secret        made once, without an end of life
//   holdfast:{orders}:probe         written by `ping`
//
// Redis may forget: a failover loses what was not yet replicated, FLUSHALL loses all, a backup brings back an older state. Each
// claim compares the sentinel, and the first claim after a start or a lost connection compares the server's replication id, both
// before the run's effects begin; what they find goes to `onForgotten`. A worker that starts compares with what those before it
// left: the sentinel with the one that is remembered outside of Redis, the replication id with the one kept in it. Records
// without a sentinel are what is left of a loss, too.
import { randomUUID } from "node:crypto";
import { ConfigurationError, StoreUnavailableError } from "../../core/errors.ts";
import type { RunView } from "../../core/run.ts";
import type {
  CheckpointWrite,
  ClaimRequest,
  ClaimResult,
  EpochWrite,
  FailWrite,
  FinishWrite,
  ForgettingOptions,
  ReviveRequest,
  ReviveResult,
  RunStore,
  RunStoreOptions,
  WriteResult,
} from "../../ports/run-store.ts";
import { makeSecret } from "../support/secret.ts";
import { RedisClient } from "./client.ts";
import {
  deathText,
  packClaim,
  packFinish,
  packRevival,
  packStep,
  stateLetters,
  unpackClaims,
  unpackInspection,
  unpackRevivals,
  unpackView,
  unpackWrites,
} from "./records.ts";
import { type Script, scripts } from "./scripts.ts";

export interface RedisRunStoreOptions extends RunStoreOptions, ForgettingOptions {
  /** `redis://` or `rediss://`, with credentials and database where needed. */
  readonly url: string;
  /** Begins every key; letters, digits and `. _ : -`, at most 64. Default `holdfast`. */
  readonly prefix?: string;
  /** How long a command may take before it is given up. 1 or more; default 2 000. */
  readonly commandTimeoutMs?: number;
  /** The URL names one node of a Redis Cluster. Default false. */
  readonly isCluster?: boolean;
}

const commandTimeoutMsDefault = 2_000;
/** Runs in one script call: about 2 ms of Redis. */
const runsPerCallMax = 500;
/** Bytes of steps or outboxes in one script call, unless a single one is larger. */
const bytesPerCallMax = 1_048_576;
const reasonCharactersMax = 200;
const probeLifeMs = 60_000;

/** Splits a batch, in order, into parts that one call may carry. */
function* partsOf<T>(items: readonly T[], bytesOf: (item: T) => number): Generator<readonly T[]> {
  let from = 0;
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    const more = bytesOf(item);
    if (index > from && (index - from === runsPerCallMax || bytes + more > bytesPerCallMax)) {
      yield items.slice(from, index);
      from = index;
      bytes = 0;
    }
    bytes += more;
  }
  if (from < items.length) yield from === 0 ? items : items.slice(from);
}

const noBytes = (): number => 0;

function sentinelId(sentinel: string): string {
  return sentinel.split(";", 1)[0] ?? "";
}

function checkOptions({ url, prefix = "", retentionMs }: RedisRunStoreOptions): void {
  const protocol = URL.canParse(url) ? new URL(url).protocol : "";
  if (protocol !== "redis:" && protocol !== "rediss:")
    throw new ConfigurationError("expected the Redis URL to begin with redis:// or rediss://, found something else; correct it");
  if (!/^[\w.:-]{0,64}$/.test(prefix))
    throw new ConfigurationError(`expected a Redis prefix of at most 64 letters, digits and . _ : -, found ${JSON.stringify(prefix)}; correct it`);
  if (!Number.isSafeInteger(retentionMs) || retentionMs < 1)
    throw new ConfigurationError(`expected retentionMs of 1 or more whole milliseconds, found ${retentionMs}; correct it`);
}

class RedisRunStore implements RunStore {
  readonly #options: RedisRunStoreOptions;
  readonly #retentionMs: string;
  readonly #base: string;
  readonly #recordPrefix: string;
  #client: RedisClient | undefined;
  /** The sentinel's value as last seen, by an earlier worker where that is remembered; else empty before the start. */
  #sentinel: string;
  /** Another server may answer than the one that was inspected. */
  #isDisturbed = true;
  #replicationId: string | undefined;

  constructor(options: RedisRunStoreOptions) {
    checkOptions(options);
    this.#options = options;
    this.#retentionMs = String(options.retentionMs);
    // Braces in the name would end the hash tag early.
    this.#base = `${options.prefix ?? "holdfast"}:{${options.consumer.replace(/[{}%]/g, encodeURIComponent)}}:`;
    this.#recordPrefix = `${this.#base}r:`;
    // Its id alone: so the start is answered with what the sentinel says beside it.
    this.#sentinel = sentinelId(options.memory?.recall() ?? "");
  }

  async start(): Promise<void> {
    if (this.#client !== undefined) return;
    const { url, isCluster = false, commandTimeoutMs = commandTimeoutMsDefault } = this.#options;
    const client = new RedisClient({ url, isCluster, commandTimeoutMs, onDisturbed: () => (this.#isDisturbed = true) });
    await client.start();
    this.#client = client;
    try {
      await this.#inspect();
      await this.#claimPart([], 0);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.stop();
  }

  async secret(): Promise<string> {
    return String(await this.#connected().run(scripts.secret, [`${this.#base}secret`], [makeSecret()]));
  }

  async ping(): Promise<boolean> {
    try {
      await this.#connected().touch(`${this.#base}probe`, probeLifeMs);
      return true;
    } catch {
      return false;
    }
  }

  async claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]> {
    if (this.#isDisturbed) await this.#inspectAgain();
    if (requests.length <= runsPerCallMax) return this.#claimPart(requests, leaseMs);
    const results: ClaimResult[] = [];
    for (const part of partsOf(requests, noBytes)) results.push(...(await this.#claimPart(part, leaseMs)));
    return results;
  }

  checkpoint(writes: readonly CheckpointWrite[]): Promise<readonly WriteResult[]> {
    return this.#write(
      scripts.checkpoint,
      writes,
      [],
      ({ step }) => step.result.length,
      ({ epoch, step }, args) => args.push(String(epoch), step.name, packStep(step)),
    );
  }

  finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]> {
    return this.#write(
      scripts.finish,
      writes,
      [],
      ({ outbox }) => outbox.length,
      ({ epoch, outbox }, args) => args.push(packFinish(epoch, outbox)),
    );
  }

  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]> {
    return this.#write(scripts.fail, writes, [], noBytes, ({ epoch, state, failures, losses, reason, death }, args) =>
      args.push(String(epoch), stateLetters[state], String(failures), String(losses), reason.slice(0, reasonCharactersMax), deathText(state, death)),
    );
  }

  async revive(requests: readonly ReviveRequest[]): Promise<readonly ReviveResult[]> {
    const results: ReviveResult[] = [];
    for (const part of partsOf(requests, noBytes)) {
      const keys = part.map(({ eventId }) => this.#recordPrefix + eventId);
      const reply = await this.#connected().run(scripts.revive, keys, [this.#retentionMs, this.#base, ...part.map(packRevival)]);
      results.push(...unpackRevivals(reply, part.length));
    }
    return results;
  }

  async close(eventIds: readonly string[], reason: string): Promise<void> {
    for (const part of partsOf(eventIds, noBytes)) {
      const keys = part.map((eventId) => this.#recordPrefix + eventId);
      await this.#connected().run(scripts.close, keys, [this.#retentionMs, this.#base, reason.slice(0, reasonCharactersMax)]);
    }
  }

  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]> {
    return this.#write(scripts.extend, writes, [String(Math.round(leaseMs))], noBytes, ({ epoch }, args) => args.push(String(epoch)));
  }

  async clearOutbox(eventIds: readonly string[]): Promise<void> {
    for (const part of partsOf(eventIds, noBytes)) {
      await this.#connected().run(
        scripts.clearOutbox,
        part.map((eventId) => this.#recordPrefix + eventId),
        [this.#retentionMs, this.#base],
      );
    }
  }

  async read(eventId: string): Promise<RunView | undefined> {
    const reply = await this.#connected().run(scripts.read, [this.#recordPrefix + eventId], [this.#base]);
    return unpackView(reply, this.#options.consumer, eventId);
  }

  async #claimPart(requests: readonly ClaimRequest[], leaseMs: number): Promise<ClaimResult[]> {
    const keys = [`${this.#base}sentinel`];
    const args = [this.#sentinel, randomUUID(), String(Math.round(leaseMs)), this.#retentionMs, this.#base];
    for (const request of requests) {
      keys.push(this.#recordPrefix + request.eventId);
      args.push(packClaim(request));
    }
    const { sentinel, results } = unpackClaims(await this.#connected().run(scripts.claim, keys, args), requests);
    if (sentinel !== "") this.#meetSentinel(sentinel);
    return results;
  }

  #meetSentinel(answer: string): void {
    const { memory, onForgotten, onSuspect } = this.#options;
    const [sentinel = "", nowMs = ""] = answer.split(" ");
    if (sentinel === this.#sentinel) return;
    const idBefore = sentinelId(this.#sentinel);
    this.#sentinel = sentinel;
    memory?.keep(sentinel);
    if (idBefore !== "" && idBefore !== sentinelId(sentinel)) onForgotten?.("sentinel");
    const lostAtMs = sentinel.split(";")[2];
    if (lostAtMs !== undefined) onSuspect?.(Math.max(0, Number(nowMs) - Number(lostAtMs)));
  }

  /** One call a part, one after another, so that the entries apply in order. */
  async #write<T extends EpochWrite>(
    script: Script,
    writes: readonly T[],
    moreArgs: readonly string[],
    bytesOf: (write: T) => number,
    pushArgs: (write: T, args: (string | Buffer)[]) => void,
  ): Promise<readonly WriteResult[]> {
    const results: WriteResult[][] = [];
    for (const part of partsOf(writes, bytesOf)) {
      const keys: string[] = [];
      const args: (string | Buffer)[] = [this.#retentionMs, this.#base, ...moreArgs];
      for (const write of part) {
        keys.push(this.#recordPrefix + write.eventId);
        pushArgs(write, args);
      }
      results.push(unpackWrites(await this.#connected().run(script, keys, args), part.length));
    }
    return results.length === 1 ? (results[0] ?? []) : results.flat();
  }

  /** Checks that the server evicts nothing, and notices when it is not the one that was inspected before. */
  async #inspect(): Promise<void> {
    this.#isDisturbed = false;
    try {
      const { info, serverBefore, hasOrphans } = unpackInspection(
        await this.#connected().run(scripts.inspect, [`${this.#base}sentinel`, `${this.#base}server`], [this.#base, this.#replicationId ?? "", randomUUID()]),
      );
      const policy = /^maxmemory_policy:(.*?)\r?$/m.exec(info)?.[1] ?? "none";
      if (policy !== "noeviction") {
        throw new ConfigurationError(
          `expected Redis to have maxmemory-policy noeviction, found ${policy}; run CONFIG SET maxmemory-policy noeviction and keep it in redis.conf, or use a Redis of its own: an evicted record would let a finished run start again`,
        );
      }
      const replicationId = /^master_replid:(.*?)\r?$/m.exec(info)?.[1];
      const known = this.#replicationId ?? serverBefore;
      this.#replicationId = replicationId;
      if (known !== undefined && known !== replicationId) this.#options.onForgotten?.("failover");
      // Where a sentinel is known, the next claim misses it.
      if (hasOrphans && this.#sentinel === "") this.#options.onForgotten?.("sentinel");
    } catch (error) {
      this.#isDisturbed = true;
      throw error;
    }
  }

  /** A server that came later and may not be used is as good as none. */
  async #inspectAgain(): Promise<void> {
    try {
      await this.#inspect();
    } catch (error) {
      throw error instanceof ConfigurationError ? new StoreUnavailableError(error.message, { cause: error }) : error;
    }
  }

  #connected(): RedisClient {
    if (this.#client === undefined) throw new StoreUnavailableError("expected a started run store, found a stopped one; call start() first");
    return this.#client;
  }
}

/** A run store on Redis 5 or later, or a compatible server that runs Lua scripts. Throws `ConfigurationError` for options it cannot use. */
export function createRedisRunStore(options: RedisRunStoreOptions): RunStore {
  return new RedisRunStore(options);
}
