/**
 * A pool of workers, the shards of its store and its broker in virtual time. Batches of messages go round:
 *
 *   broker: deliver -> worker, main thread -> shards: claim -> skill thread -> main thread -> shards: finish -> broker: settle
 *
 * A claim and a finish are a script call for each hash tag that has messages of the batch, and go on when the last shard has answered. A
 * duplicate whose event is at work meanwhile is put back by the broker, and claimed once more.
 */
import { hashTagsOf, slotOf, slots } from "#runtime/adapters/redis/tags.ts";
import type { Random } from "#runtime/core/clock.ts";
import { Cores, Station, Timeline } from "./timeline.ts";

/** What a message costs each part, in microseconds of CPU. */
export interface Costs {
  /** Messages of a batch. */
  readonly batch: number;
  /** On a worker's main thread, and on its others. */
  readonly main: number;
  readonly threads: number;
  /** On a shard, claim and finish together; and each script call beside. */
  readonly store: number;
  readonly storeCall: number;
  /** On the main thread, each call beyond the first of a claim or a finish. */
  readonly furtherCall: number;
  readonly broker: number;
}

export interface Size {
  readonly workers: number;
  readonly shards: number;
  /** Units of the broker: each does what the local one does on a core. */
  readonly units: number;
  /** Over so many the records are spread. */
  readonly hashTags: number;
  /** Between two machines, one way. */
  readonly awayMicros: number;
  /** Share of the events that come twice. */
  readonly duplicates: number;
  /** Of the one machine that all share; undefined where each part has its own. */
  readonly cores?: number;
}

interface Batch {
  readonly worker: number;
  readonly fresh: number;
  /** The batches of events whose duplicates these are. */
  readonly again: readonly Batch[];
  readonly startMicros: number;
  /** Its events are marked as done. */
  isDone: boolean;
}

/** Script calls, and the time of the shards that they go to. */
interface Calls {
  readonly count: number;
  readonly shards: readonly number[];
  readonly micros: readonly number[];
}

const consumer = "orders";
/** A sender that got no answer sends again after about so long; so does the broker what was put back. */
const sentAgainMicros = 10_000;

/** The shard of each hash tag, in a cluster whose shards have equal ranges of slots. */
export function shardsOfTags(hashTags: number, shards: number): readonly number[] {
  return hashTagsOf(consumer, hashTags).map((tag) => Math.floor((slotOf(tag) * shards) / slots));
}

function beyondFirst({ count }: Calls): number {
  return Math.max(0, count - 1);
}

export class Pool {
  readonly timeline = new Timeline();
  readonly cores: Cores | undefined;
  readonly broker: Station;
  readonly shards: readonly Station[];
  readonly mains: readonly Station[];
  readonly threads: readonly Station[];
  readonly tookMicros: number[] = [];
  /** Messages that were settled as complete. */
  settled = 0;
  /** Claims of duplicates, and those of them that found their event at work. */
  claimedAgain = 0;
  held = 0;
  /** Called when a batch of this worker has ended. */
  onEnd: (worker: number) => void = () => undefined;
  readonly #costs: Costs;
  readonly #size: Size;
  readonly #random: Random;
  readonly #varied: () => number;
  readonly #shardOf: readonly number[];
  readonly #messagesOfTag: Int32Array;
  /** What comes once more, and has arrived. */
  #again: Batch[] = [];

  constructor(costs: Costs, size: Size, random: Random, varied: () => number) {
    this.#costs = costs;
    this.#size = size;
    this.#random = random;
    this.#varied = varied;
    this.cores = size.cores === undefined ? undefined : new Cores(size.cores);
    const station = (servers = 1): Station => new Station(this.timeline, servers, this.cores);
    const stations = (count: number): readonly Station[] => Array.from({ length: count }, () => station());
    this.broker = station(size.units);
    [this.shards, this.mains, this.threads] = [stations(size.shards), stations(size.workers), stations(size.workers)];
    this.#shardOf = shardsOfTags(size.hashTags, size.shards);
    this.#messagesOfTag = new Int32Array(size.hashTags);
  }

  /** A batch has arrived at the broker, for this worker. */
  begin(worker: number): void {
    const { batch: messages, broker, main, threads, furtherCall } = this.#costs;
    const away = this.#size.awayMicros;
    const again = this.#again.splice(0, messages >> 1);
    const batch: Batch = { worker, fresh: messages - again.length, again, startMicros: this.timeline.nowMicros, isDone: false };
    this.#sendAgain(batch);
    const claims = this.#callsOf(messages);
    const [mains, skills] = [this.mains[worker]!, this.threads[worker]!];
    this.#visit(this.broker, (messages * broker) / 2, away, () =>
      this.#visit(mains, (messages * main) / 2 + beyondFirst(claims) * furtherCall, away, () =>
        this.#call(claims, () => {
          const back = this.#heldOf(batch);
          const finishes = batch.fresh === messages ? claims : this.#callsOf(batch.fresh);
          this.#visit(skills, batch.fresh * threads, 0, () =>
            this.#visit(mains, (messages * main) / 2 + beyondFirst(finishes) * furtherCall, away, () =>
              this.#call(finishes, () => {
                batch.isDone = true;
                // What is put back costs the broker a copy.
                this.#visit(this.broker, ((messages + back) * broker) / 2, away, () => this.#end(batch, back));
              }),
            ),
          );
        }),
      ),
    );
  }

  #visit(station: Station, micros: number, awayMicros: number, then: () => void): void {
    const next = awayMicros === 0 ? then : (): void => this.timeline.after(awayMicros, then);
    station.visit(micros * this.#varied(), next);
  }

  /** What a claim or a finish of so many messages is to the shards. */
  #callsOf(messages: number): Calls {
    const { hashTags } = this.#size;
    const byTag = this.#messagesOfTag;
    byTag.fill(0);
    if (hashTags === 1) byTag[0] = messages;
    else for (let message = 0; message < messages; message += 1) byTag[Math.floor(this.#random() * hashTags)]! += 1;
    const calls: { count: number; shards: number[]; micros: number[] } = { count: 0, shards: [], micros: [] };
    const { store, storeCall } = this.#costs;
    // Tags of one shard follow each other.
    for (let tag = 0; tag < hashTags; tag += 1) {
      if (byTag[tag] === 0) continue;
      const micros = (byTag[tag]! * store) / 2 + storeCall;
      calls.count += 1;
      if (calls.shards.at(-1) === this.#shardOf[tag]) calls.micros[calls.micros.length - 1]! += micros;
      else {
        calls.shards.push(this.#shardOf[tag]!);
        calls.micros.push(micros);
      }
    }
    return calls;
  }

  #call({ shards, micros }: Calls, then: () => void): void {
    let open = shards.length;
    if (open === 0) return then();
    const answer = (): void => {
      open -= 1;
      if (open === 0) then();
    };
    for (let index = 0; index < shards.length; index += 1) this.#visit(this.shards[shards[index]!]!, micros[index]!, this.#size.awayMicros, answer);
  }

  #sendAgain(batch: Batch): void {
    const { duplicates } = this.#size;
    if (duplicates === 0) return;
    for (let message = 0; message < batch.fresh; message += 1) if (this.#random() < duplicates) this.#later(batch);
  }

  #later(batch: Batch): void {
    this.timeline.after(-Math.log(1 - this.#random()) * sentAgainMicros, () => void this.#again.push(batch));
  }

  /** Duplicates that are put back, for their event is at work. */
  #heldOf({ again }: Batch): number {
    const held = again.filter(({ isDone }) => !isDone);
    held.forEach((batch) => this.#later(batch));
    this.claimedAgain += again.length;
    this.held += held.length;
    return held.length;
  }

  #end({ worker, fresh, again, startMicros }: Batch, back: number): void {
    this.settled += fresh + again.length - back;
    this.tookMicros.push(this.timeline.nowMicros - startMicros);
    this.onEnd(worker);
  }
}
