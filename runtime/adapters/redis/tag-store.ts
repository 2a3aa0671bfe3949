// The records that lie under one hash tag. Every batch is one script call, so it is atomic against every other worker; a large
// batch is split so that no call keeps Redis from its other clients for more than a few milliseconds.
import { type ByHand, whoCharactersMax } from "../../core/history.ts";
import { randomUUID } from "node:crypto";
import { ConfigurationError, StoreUnavailableError } from "../../core/errors.ts";
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
  ReviveRequest,
  ReviveResult,
  StoreMemory,
  WriteResult,
} from "../../ports/run-store.ts";
import type { RedisClient } from "./client.ts";
import {
  deathText,
  finishBytes,
  type Inspection,
  packRevival,
  unpackRevivals,
  packClaim,
  packFinish,
  packStep,
  stateLetters,
  unpackClaims,
  unpackInspection,
  unpackView,
  unpackWrites,
} from "./records.ts";
import { packClaims, packFinishes } from "./packed.ts";
import type { KeysOf } from "./script-call.ts";
import { type Script, scripts } from "./scripts.ts";

export interface TagStoreOptions {
  readonly consumer: string;
  readonly retentionMs: number;
  readonly detailsMs: number | undefined;
  /** Begins every key: prefix and hash tag. */
  readonly base: string;
  /** Rejects with `StoreUnavailableError` while the run store is stopped. */
  readonly client: () => RedisClient;
  readonly memory: StoreMemory | undefined;
  /** Whether what is found is noted for others. */
  readonly notes: boolean;
  readonly onForgotten: (what: Forgetting) => void;
  /** Records under this tag were lost, or may have been, so long ago at most, by whichever worker it was noticed. */
  readonly onSuspect: (scope: DoubtScope, agoMs: number) => void;
}

const probeLifeMs = 60_000;
const reasonCharactersMax = 200;
/** Where a retention is as long as so many leases, it may begin with the lease under which a run ends. */
const leasesOfRetention = 1_000;
/** Runs in one script call: about 2 ms of Redis. */
const runsPerCallMax = 500;
/** Bytes of steps or outboxes in one script call, unless a single one is larger. */
const bytesPerCallMax = 1_048_576;

/** Splits a batch, in order, into parts that one call may carry. */
function* partsOf<T>(items: readonly T[], bytesOf: (item: T) => number): Generator<readonly T[]> {
  let from = 0;
  let bytes = 0;
  for (let index = 0; index < items.length; index += 1) {
    const more = bytesOf(items[index] as T);
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
const compactReply = Buffer.from("compact");

function sentinelId(sentinel: string): string {
  return sentinel.split(";", 1)[0] ?? "";
}

export class TagStore {
  readonly #options: TagStoreOptions;
  readonly #client: () => RedisClient;
  readonly #retentionMs: string;
  readonly #detailsMs: string;
  readonly #base: string;
  readonly #recordPrefix: string;
  /** The sentinel's value as last seen, by an earlier worker where that is remembered; else empty before the start. */
  #sentinel: string;
  #isDisturbed = true;
  #replicationId = "";
  /** The name under which its calls are signed, in their order. */
  readonly #writer = randomUUID();
  /** How records are laid out; see scripts/places.lua. */
  #isCompact = false;
  #signed = 0;
  /** Number of the latest call that was acknowledged. */
  #acknowledged = 0;
  #acknowledgedAtMs = Number.NEGATIVE_INFINITY;
  /** The longest lease that was asked for. */
  #leaseMostMs = 0;

  constructor(options: TagStoreOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#retentionMs = String(options.retentionMs);
    this.#detailsMs = String(options.detailsMs ?? "");
    this.#base = options.base;
    this.#recordPrefix = `${this.#base}r:`;
    // Its id alone: so the start is answered with what the sentinel says beside it.
    this.#sentinel = sentinelId(options.memory?.recall() ?? "");
  }

  async start(isCompact: boolean): Promise<void> {
    this.#isCompact = isCompact;
    await this.#inspect();
    await this.#claimPart([], 0);
  }

  /** The connection was lost or changed. */
  disturbed(): void {
    this.#isDisturbed = true;
  }

  /** Another server may answer than the one that was inspected. */
  get isDisturbed(): boolean {
    return this.#isDisturbed;
  }

  /** What the script that signs is asked, of this tag; `met` hears its answer. */
  signature(): { readonly key: string; readonly args: readonly string[]; readonly met: (answer: string) => void } {
    this.#signed += 1;
    const number = this.#signed;
    return {
      key: `${this.#base}sentinel`,
      args: [this.#sentinel, randomUUID(), this.#retentionMs, this.#base, this.#writer, String(number), String(this.#acknowledged)],
      met: (answer) => {
        this.#wasAcknowledged(number);
        if (answer !== "") this.#meetSentinel(answer);
      },
    };
  }

  /** How long ago the last write was acknowledged. */
  get quietForMs(): number {
    return performance.now() - this.#acknowledgedAtMs;
  }

  /** A plain write: rejects where it is refused. */
  touch(): Promise<void> {
    return this.#client().touch(`${this.#base}probe`, probeLifeMs);
  }

  async claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]> {
    if (leaseMs > this.#leaseMostMs) this.#leaseMostMs = leaseMs;
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

  async finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]> {
    const results: WriteResult[][] = [];
    for (const part of partsOf(writes, finishBytes)) results.push(await this.#finishPart(part));
    return results.length === 1 ? (results[0] ?? []) : results.flat();
  }

  async #finishPart(writes: readonly FinishWrite[]): Promise<WriteResult[]> {
    if (!this.#isCompact) {
      const args: (string | Buffer)[] = [this.#retentionMs, this.#base, this.#keepsLife];
      const reply = await this.#runSigned(scripts.finish, [], args.concat(writes.map(packFinish)), this.#recordsOf(writes));
      if (!this.#hasBecomeCompact(reply)) return unpackWrites(reply, writes.length);
    }
    const { blob, odd } = packFinishes(writes);
    const reply = await this.#runSigned(scripts.finishPacked, [`${this.#base}buckets`], [this.#retentionMs, this.#base, blob, ...odd]);
    return unpackWrites(reply, writes.length);
  }

  /** For scripts/finish.lua. */
  get #keepsLife(): string {
    return this.#leaseMostMs * leasesOfRetention <= this.#options.retentionMs ? "1" : "0";
  }

  /** Another worker has had them laid out otherwise since this one started. */
  #hasBecomeCompact(reply: unknown): boolean {
    this.#isCompact = Buffer.isBuffer(reply) && reply.equals(compactReply);
    return this.#isCompact;
  }

  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]> {
    return this.#write(scripts.fail, writes, [], noBytes, ({ epoch, state, failures, losses, reason, death, setback = "" }, args) =>
      args.push(String(epoch), stateLetters[state], String(failures), String(losses), reason.slice(0, reasonCharactersMax), deathText(state, death), setback),
    );
  }

  async revive(requests: readonly ReviveRequest[]): Promise<readonly ReviveResult[]> {
    const results: ReviveResult[] = [];
    for (const part of partsOf(requests, noBytes)) {
      const keys = part.map(({ eventId }) => this.#recordPrefix + eventId);
      const reply = await this.#runSigned(scripts.revive, keys, [this.#retentionMs, this.#base, ...part.map(packRevival)]);
      results.push(...unpackRevivals(reply, part.length));
    }
    return results;
  }

  async close(eventIds: readonly string[], { reason, who }: ByHand): Promise<void> {
    for (const part of partsOf(eventIds, noBytes)) {
      const keys = part.map((eventId) => this.#recordPrefix + eventId);
      await this.#client().run(scripts.close, keys, [this.#retentionMs, this.#base, reason.slice(0, reasonCharactersMax), who.slice(0, whoCharactersMax)]);
    }
  }

  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]> {
    if (leaseMs > this.#leaseMostMs) this.#leaseMostMs = leaseMs;
    return this.#write(scripts.extend, writes, [String(Math.round(leaseMs))], noBytes, ({ epoch }, args) => args.push(String(epoch)));
  }

  async clearOutbox(eventIds: readonly string[]): Promise<void> {
    for (const part of partsOf(eventIds, noBytes)) {
      await this.#client().run(
        scripts.clearOutbox,
        part.map((eventId) => this.#recordPrefix + eventId),
        [this.#retentionMs, this.#base],
      );
    }
  }

  async read(eventId: string): Promise<RunView | undefined> {
    const reply = await this.#client().run(scripts.read, [this.#recordPrefix + eventId], [this.#base]);
    return unpackView(reply, this.#options.consumer, eventId, this.#options.retentionMs);
  }

  async #claimPart(requests: readonly ClaimRequest[], leaseMs: number): Promise<ClaimResult[]> {
    const { sentinel, results } = unpackClaims(await this.#askClaims(requests, leaseMs), requests);
    if (sentinel !== "") this.#meetSentinel(sentinel);
    return results;
  }

  async #askClaims(requests: readonly ClaimRequest[], leaseMs: number): Promise<unknown> {
    const sentinelKey = `${this.#base}sentinel`;
    const args = [this.#sentinel, randomUUID(), String(Math.round(leaseMs)), this.#retentionMs, this.#base];
    if (!this.#isCompact) {
      const reply = await this.#runSigned(scripts.claim, [sentinelKey], args.concat(requests.map(packClaim)), this.#recordsOf(requests));
      if (!this.#hasBecomeCompact(reply)) return reply;
    }
    const { blob, names, odd } = packClaims(requests);
    return this.#runSigned(scripts.claimPacked, [sentinelKey], [...args, blob, String(names.length), ...names, ...odd]);
  }

  #recordsOf(runs: readonly { readonly eventId: string }[]): KeysOf {
    return { prefix: this.#recordPrefix, ends: runs.map(({ eventId }) => eventId) };
  }

  #meetSentinel(answer: string): void {
    const { memory, onSuspect } = this.#options;
    const [sentinel = "", nowMs = ""] = answer.split(" ");
    if (sentinel === this.#sentinel) return;
    const idBefore = sentinelId(this.#sentinel);
    this.#sentinel = sentinel;
    memory?.keep(sentinel);
    if (idBefore !== "" && idBefore !== sentinelId(sentinel)) this.#options.onForgotten("sentinel");
    const lostAtMs = sentinel.split(";")[2];
    if (lostAtMs !== undefined) onSuspect("all", Math.max(0, Number(nowMs) - Number(lostAtMs)));
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
      results.push(unpackWrites(await this.#runSigned(script, keys, args), part.length));
    }
    return results.length === 1 ? (results[0] ?? []) : results.flat();
  }

  /** A write. What is acknowledged must be found on whichever server answers later. */
  async #runSigned(script: Script, keys: readonly string[], args: (string | Buffer)[], more?: KeysOf): Promise<unknown> {
    this.#signed += 1;
    const number = this.#signed;
    args.push(this.#writer, String(number), String(this.#acknowledged));
    const reply = await this.#client().run(script, keys, args, more);
    this.#wasAcknowledged(number);
    return reply;
  }

  #wasAcknowledged(number: number): void {
    if (number > this.#acknowledged) this.#acknowledged = number;
    this.#acknowledgedAtMs = performance.now();
  }

  /** Checks that the server evicts nothing, and notices when it is not the one that was inspected before. */
  async #inspect(): Promise<void> {
    this.#isDisturbed = false;
    try {
      const { memory, replicationId, fate, keptAgoMs, hasOrphans } = await this.#askServer();
      const policy = /^maxmemory_policy:(.*?)\r?$/m.exec(memory)?.[1];
      // A managed service may not say.
      if (policy !== undefined && policy !== "noeviction") {
        throw new ConfigurationError(
          `expected Redis to have maxmemory-policy noeviction, found ${policy}; run CONFIG SET maxmemory-policy noeviction and keep it in redis.conf, or use a Redis of its own: an evicted record would let a finished run start again`,
        );
      }
      // What takes its place later, or what it becomes, is yet to be met.
      if (fate === "replica") this.#isDisturbed = true;
      else if (replicationId !== "") this.#replicationId = replicationId;
      if (fate === "lost") this.#options.onForgotten("failover");
      if (keptAgoMs !== undefined) this.#options.onSuspect("redelivered", keptAgoMs);
      // Where a sentinel is known, the next claim misses it.
      if (hasOrphans && this.#sentinel === "") this.#options.onForgotten("sentinel");
    } catch (error) {
      this.#isDisturbed = true;
      throw error;
    }
  }

  async #askServer(): Promise<Inspection> {
    const quietS = this.#acknowledged === 0 ? 0 : Math.ceil(this.quietForMs / 1_000);
    const signature = [this.#writer, String(this.#acknowledged), String(quietS), this.#options.notes ? "1" : "0", this.#retentionMs, this.#detailsMs];
    const keys = [`${this.#base}sentinel`, `${this.#base}server`];
    return unpackInspection(await this.#client().run(scripts.inspect, keys, [this.#base, this.#replicationId, randomUUID(), ...signature]));
  }

  /** A server that came later and may not be used is as good as none. */
  async #inspectAgain(): Promise<void> {
    try {
      await this.#inspect();
    } catch (error) {
      throw error instanceof ConfigurationError ? new StoreUnavailableError(error.message, { cause: error }) : error;
    }
  }
}
