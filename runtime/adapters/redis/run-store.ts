// The run store on Redis, shared by all workers of a pool: one server, one behind sentinels, or a cluster.
//
// A consumer's records are spread over a stated number of hash tags (tags.ts); what shares a tag shares a cluster's slot, and is
// one script call (tag-store.ts). One server needs one tag. A batch goes to all its tags at once; where some do not answer, the
// others' entries are carried out all the same, and the batch rejects naming those that were not.
//
//   holdfast:{orders}:tags          over how many tags the records are spread, without an end of life
//   holdfast:{orders}:secret        made once, without an end of life
//
// and under each tag, which is `{orders}` where it is the only one, else `{orders#NUMBER}`:
//
//   holdfast:{orders}:b:<number>    records of the compact layout, many to a hash (scripts/places.lua)
//   holdfast:{orders}:buckets       how many of these there are, without an end of life
//   holdfast:{orders}:names         what numbers in them stand for, without an end of life
//   holdfast:{orders}:sentinel      set once, without an end of life; another id in it means that records were lost. It also says
//                                   when that was last, so that every worker learns of it with its next claim, or at its start
//   holdfast:{orders}:server        the replication id of the server that a worker met last; another one may have lost the last writes
//   holdfast:{orders}:w:<writer>    how many writes a worker has made: one that is acknowledged must be found on every later server
//   holdfast:{orders}:r:<eventId>   a run's record (its layout stands in scripts/record.lua)
//   holdfast:{orders}:s:<eventId>   its steps, from the first checkpoint on
//   holdfast:{orders}:h:<eventId>   its deaths and what brought it back, from the first death on
//   holdfast:{orders}:t:<eventId>   its last claims that ended without success, from the first one on
//   holdfast:{orders}:k:<eventId>   what is to become of it, while it is called off and a worker has it
//   holdfast:{orders}:probe         written by `ping`
//
// Redis may forget: a failover loses what was not yet replicated, FLUSHALL loses all, a backup brings back an older state; in a
// cluster, each shard for itself. Each claim compares the sentinel of its tag, and the first claim after a start or a lost
// connection compares the replication id of the tag's server, both before the run's effects begin; what they find goes to
// `onForgotten`. Another server that has this worker's last acknowledged write has all writes before it, for they reach a replica and
// a file in their order: so each worker answers for its own writes, and signs every few seconds also while it has nothing to write (signatures.ts). What
// is left to doubt then is what a worker wrote that ended with the server (`redelivered`), and nothing where a slot has only moved. A worker that starts compares with what those before it left: the sentinels with those that are remembered
// outside of Redis, the replication ids with those kept in it. Records without a sentinel are what is left of a loss, too.
import type { ByHand } from "../../core/history.ts";
import { ConfigurationError, messageOf, StorePartlyUnavailableError, StoreUnavailableError } from "../../core/errors.ts";
import { reveal } from "../../core/secret.ts";
import type { RunView } from "../../core/run.ts";
import type { DoubtScope } from "../../core/store-suspicion.ts";
import type {
  CheckpointWrite,
  ClaimRequest,
  ClaimResult,
  EpochWrite,
  FailWrite,
  FinishWrite,
  Forgetting,
  ForgettingOptions,
  ReviveRequest,
  ReviveResult,
  RunStore,
  RunStoreOptions,
  StoreMemory,
  WriteResult,
} from "../../ports/run-store.ts";
import { makeSecret } from "../support/secret.ts";
import type { RedisClient } from "./client.ts";
import type { RedisPlace } from "./connect.ts";
import { scripts } from "./scripts.ts";
import { SharedRedisClient } from "./shared-client.ts";
import type { Signer } from "./signatures.ts";
import { TagHealth } from "./tag-health.ts";
import { TagStore } from "./tag-store.ts";
import { consumerTag, hashTagsOf, tagIndexOf } from "./tags.ts";

export interface RedisRunStoreOptions extends RedisPlace, RunStoreOptions, ForgettingOptions {
  /** Begins every key; letters, digits and `. _ : -`, at most 64. Default `holdfast`. */
  readonly prefix?: string;
  /** How long a command may take before it is given up. 1 or more; default 2 000. */
  readonly commandTimeoutMs?: number;
  /** Over how many hash tags the records are spread, 1 to 256: every worker says the same. Default 1, of a cluster 12. */
  readonly hashTags?: number;
  /**
   * `compact` holds a finished event in about 45 bytes, and has to be known to every worker of the pool; records that are there already become
   * it from then on, and stay it. It costs Redis more for each event. Default: as the records are, and plain where there are none yet.
   */
  readonly layout?: "plain" | "compact";
  /** In the compact layout, how long steps of a run that is done stay readable; a day where it is left out, and no longer than `retentionMs`. */
  readonly detailsMs?: number;
}

/** Behind the number of tags, where the layout is compact: a worker that does not know it does not start. */
const compactMark = " compact";

export const commandTimeoutMsDefault = 2_000;
const hashTagsMax = 256;
/** Calls on their way to it at once: with one every 5 ms, as many as a round trip of 80 ms has place for. */
const callsAtOnce = 16;
/** Three shards, or four or six, get equally many. */
const clusterHashTagsDefault = 12;

function checkOptions({ url: secret, prefix = "", retentionMs, hashTags = 1 }: RedisRunStoreOptions): void {
  const url = reveal(secret);
  const protocol = URL.canParse(url) ? new URL(url).protocol : "";
  if (protocol !== "redis:" && protocol !== "rediss:")
    throw new ConfigurationError("expected the Redis URL to begin with redis:// or rediss://, found something else; correct it");
  if (!/^[\w.:-]{0,64}$/.test(prefix))
    throw new ConfigurationError(`expected a Redis prefix of at most 64 letters, digits and . _ : -, found ${JSON.stringify(prefix)}; correct it`);
  if (!Number.isSafeInteger(retentionMs) || retentionMs < 1)
    throw new ConfigurationError(`expected retentionMs of 1 or more whole milliseconds, found ${retentionMs}; correct it`);
  if (!Number.isInteger(hashTags) || hashTags < 1 || hashTags > hashTagsMax)
    throw new ConfigurationError(`expected hashTags of 1 to ${hashTagsMax}, found ${hashTags}; correct it`);
}

/** What keys begin with: those of the consumer as a whole, and those of each tag that its records are spread over. */
export function placesOf({ consumer, prefix = "holdfast", isCluster = false, hashTags }: RedisRunStoreOptions): {
  readonly whole: string;
  readonly tags: readonly string[];
} {
  const count = hashTags ?? (isCluster ? clusterHashTagsDefault : 1);
  return { whole: `${prefix}:{${consumerTag(consumer)}}:`, tags: hashTagsOf(consumer, count).map((tag) => `${prefix}:{${tag}}:`) };
}

/** One tag, and whether it answers. */
interface Part {
  readonly store: TagStore;
  readonly health: TagHealth;
}

/** What of a batch goes to one tag. */
interface Share<Entry> {
  readonly part: Part;
  readonly entries: Entry[];
  /** Where they stand in the batch. */
  readonly places: number[];
}

class RedisRunStore implements RunStore {
  /** They follow each other on one connection. */
  readonly callsAtOnce: number = callsAtOnce;
  readonly #options: RedisRunStoreOptions;
  /** Prefix and tag of what belongs to the consumer as a whole. */
  readonly #base: string;
  readonly #parts: readonly Part[];
  /** The only part; undefined where there are more. */
  readonly #only: TagStore | undefined;
  /** Marks of the parts, as they are remembered outside of Redis. */
  readonly #marks: string[];
  /** What was found since it was last reported, with the parts it was found of. */
  readonly #found = new Map<Forgetting, Set<number>>();
  /** What is to be doubted, and was not told yet. */
  readonly #suspicions = new Map<DoubtScope, { agoMs: number; readonly numbers: Set<number> }>();
  #signer: Signer | undefined;
  readonly #shared: SharedRedisClient;
  #client: RedisClient | undefined;

  constructor(options: RedisRunStoreOptions, shared: SharedRedisClient) {
    checkOptions(options);
    this.#shared = shared;
    this.#options = options;
    const { consumer, retentionMs, detailsMs } = options;
    const { whole, tags } = placesOf(options);
    const count = tags.length;
    this.#base = whole;
    this.#marks = this.#recall(count);
    this.#parts = tags.map((base, number): Part => {
      const store = new TagStore({
        consumer,
        retentionMs,
        detailsMs,
        base,
        client: () => this.#connected(),
        memory: this.#memoryOf(number),
        notes: options.isObserver !== true,
        onForgotten: (what) => this.#forgot(what, number),
        onSuspect: (scope, agoMs) => this.#suspect(scope, agoMs, number),
      });
      return { store, health: new TagHealth(() => store.touch()) };
    });
    this.#only = count === 1 ? this.#parts[0]?.store : undefined;
  }

  async start(): Promise<void> {
    if (this.#client !== undefined) return;
    this.#client = await this.#shared.join(this.#disturbed);
    try {
      const isCompact = await this.#checkLayout();
      await Promise.all(this.#parts.map(({ store }) => store.start(isCompact)));
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#tell();
    if (this.#options.onSuspect === undefined || this.#options.isObserver === true) return;
    this.#signer = { parts: this.#parts, client: this.#client, signed: () => this.#tell() };
    this.#shared.signatures.add(this.#signer);
  }

  async stop(): Promise<void> {
    if (this.#signer !== undefined) this.#shared.signatures.delete(this.#signer);
    if (this.#client === undefined) return;
    this.#client = undefined;
    await this.#shared.leave(this.#disturbed);
  }

  async secret(): Promise<string> {
    return String(await this.#connected().run(scripts.secret, [`${this.#base}secret`], [makeSecret()]));
  }

  /** A part that answers is enough. */
  async ping(): Promise<boolean> {
    const answers = await Promise.all(this.#parts.map(({ health }) => health.probe()));
    return answers.includes(true);
  }

  claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]> {
    if (this.#only !== undefined) return this.#only.claim(requests, leaseMs);
    return this.#spread(requests, (part, entries) => part.claim(entries, leaseMs));
  }

  checkpoint(writes: readonly CheckpointWrite[]): Promise<readonly WriteResult[]> {
    if (this.#only !== undefined) return this.#only.checkpoint(writes);
    return this.#spread(writes, (part, entries) => part.checkpoint(entries));
  }

  finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]> {
    if (this.#only !== undefined) return this.#only.finish(writes);
    return this.#spread(writes, (part, entries) => part.finish(entries));
  }

  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]> {
    if (this.#only !== undefined) return this.#only.fail(writes);
    return this.#spread(writes, (part, entries) => part.fail(entries));
  }

  revive(requests: readonly ReviveRequest[]): Promise<readonly ReviveResult[]> {
    if (this.#only !== undefined) return this.#only.revive(requests);
    return this.#spread(requests, (part, entries) => part.revive(entries));
  }

  close(eventIds: readonly string[], by: ByHand): Promise<void> {
    return this.#eachOf(eventIds, (part, some) => part.close(some, by));
  }

  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]> {
    if (this.#only !== undefined) return this.#only.extend(writes, leaseMs);
    return this.#spread(writes, (part, entries) => part.extend(entries, leaseMs));
  }

  clearOutbox(eventIds: readonly string[]): Promise<void> {
    return this.#eachOf(eventIds, (part, some) => part.clearOutbox(some));
  }

  async read(eventId: string): Promise<RunView | undefined> {
    return this.#partOf(eventId).store.read(eventId);
  }

  #partOf(eventId: string): Part {
    const part = this.#parts[tagIndexOf(eventId, this.#parts.length)];
    if (part === undefined) throw new RangeError(`expected a tag for ${eventId}`);
    return part;
  }

  /** Each part's entries go to it, all at once; the answers come in the batch's order. */
  async #spread<Entry extends { readonly eventId: string }, Answer>(
    entries: readonly Entry[],
    call: (part: TagStore, entries: readonly Entry[]) => Promise<readonly Answer[]>,
  ): Promise<readonly Answer[]> {
    this.#connected();
    const answers: Answer[] = [];
    const unreachable: number[] = [];
    const refusals: unknown[] = [];
    let failure: unknown;
    const carryOut = async ({ part, entries: some, places }: Share<Entry>): Promise<void> => {
      try {
        const theirs = await part.health.attempt(() => call(part.store, some));
        for (const [index, answer] of theirs.entries()) answers[places[index] ?? 0] = answer;
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) return void refusals.push(error);
        failure = error;
        for (const place of places) unreachable.push(place);
      }
    };
    await Promise.all(this.#share(entries).map(carryOut));
    this.#tell();
    if (refusals.length > 0) throw refusals[0];
    if (unreachable.length > 0) throw this.#unavailable(failure, unreachable);
    return answers;
  }

  /** The same for what has no answer. */
  async #eachOf(eventIds: readonly string[], call: (part: TagStore, eventIds: readonly string[]) => Promise<void>): Promise<void> {
    if (this.#only !== undefined) return call(this.#only, eventIds);
    const entries = eventIds.map((eventId) => ({ eventId }));
    await this.#spread(entries, async (part, some) => {
      await call(
        part,
        some.map(({ eventId }) => eventId),
      );
      return some;
    });
  }

  #share<Entry extends { readonly eventId: string }>(entries: readonly Entry[]): readonly Share<Entry>[] {
    const shares = new Map<Part, Share<Entry>>();
    for (const [place, entry] of entries.entries()) {
      const part = this.#partOf(entry.eventId);
      const share = shares.get(part);
      if (share === undefined) shares.set(part, { part, entries: [entry], places: [place] });
      else {
        share.entries.push(entry);
        share.places.push(place);
      }
    }
    return [...shares.values()];
  }

  /** Where one part fails, the others are looked at, so that a store that is down as a whole is known to be. */
  #unavailable(failure: unknown, unreachable: readonly number[]): unknown {
    if (this.#parts.every(({ health }) => health.isDown)) return failure;
    for (const { health } of this.#parts) health.look();
    return new StorePartlyUnavailableError(messageOf(failure), unreachable, { cause: failure });
  }

  readonly #disturbed = (): void => {
    for (const { store } of this.#parts) store.disturbed();
  };

  /** Records that were spread otherwise would not be found. Returns whether they are laid out compactly. */
  async #checkLayout(): Promise<boolean> {
    const count = String(this.#parts.length);
    const { layout } = this.#options;
    const wanted = layout === "compact" ? [`${count}${compactMark}`, "1"] : [count, "0"];
    const kept = String(await this.#connected().run(scripts.layout, [`${this.#base}tags`, `${this.#base}sentinel`], wanted));
    const isCompact = kept.endsWith(compactMark);
    const known = isCompact ? kept.slice(0, -compactMark.length) : kept;
    if (known !== count)
      throw new ConfigurationError(
        `expected the records of this consumer to be spread over ${count} hash tag(s), as the configuration says, found ${known}; say hashTags: ${known}, or give this pool another prefix once the old one's messages are done`,
      );
    return isCompact;
  }

  #forgot(what: Forgetting, number: number): void {
    const numbers = this.#found.get(what);
    if (numbers === undefined) this.#found.set(what, new Set([number]));
    else numbers.add(number);
    // The other parts of the batch are heard first.
    if (this.#only !== undefined) this.#tell();
  }

  /** Parts that lost records with their one server report one loss; the latest is the one that counts. */
  #suspect(scope: DoubtScope, agoMs: number, number: number): void {
    const known = this.#suspicions.get(scope);
    if (known === undefined) this.#suspicions.set(scope, { agoMs, numbers: new Set([number]) });
    else {
      known.agoMs = Math.min(known.agoMs, agoMs);
      known.numbers.add(number);
    }
    if (this.#only !== undefined) this.#tell();
  }

  #tell(): void {
    const suspicions = [...this.#suspicions];
    this.#suspicions.clear();
    for (const [scope, { agoMs, numbers }] of suspicions) {
      this.#options.onSuspect?.({ scope, agoMs, parts: [...numbers], partOf: (eventId) => tagIndexOf(eventId, this.#parts.length) });
    }
    if (this.#found.size === 0) return;
    const found = [...this.#found];
    this.#found.clear();
    const count = this.#parts.length;
    for (const [what, numbers] of found) this.#options.onForgotten?.(what, (eventId) => numbers.has(tagIndexOf(eventId, count)));
    // Its number of tags went with the records.
    if (this.#client !== undefined) void this.#checkLayout().catch(() => undefined);
  }

  /** One mark for each part, as they were kept; none where they were kept of another number. */
  #recall(count: number): string[] {
    const marks = this.#options.memory?.recall()?.split(" ") ?? [];
    return marks.length === count ? marks : Array.from({ length: count }, () => "");
  }

  #memoryOf(number: number): StoreMemory | undefined {
    const { memory } = this.#options;
    return (
      memory && {
        recall: () => this.#marks[number],
        keep: (mark) => {
          this.#marks[number] = mark;
          memory.keep(this.#marks.join(" "));
        },
      }
    );
  }

  #connected(): RedisClient {
    if (this.#client === undefined) throw new StoreUnavailableError("expected a started run store, found a stopped one; call start() first");
    return this.#client;
  }
}

/** A run store on Redis 5 or later, or a compatible server that runs Lua scripts. Throws `ConfigurationError` for options it cannot use. */
export function createRedisRunStore(options: RedisRunStoreOptions, shared: SharedRedisClient = sharedClientOf(options)): RunStore {
  return new RedisRunStore(options, shared);
}

/** What the stores of several consumers reach the same server by. */
export function sharedClientOf({
  commandTimeoutMs = commandTimeoutMsDefault,
  ...place
}: RedisPlace & { readonly commandTimeoutMs?: number }): SharedRedisClient {
  return new SharedRedisClient({ ...place, commandTimeoutMs });
}
