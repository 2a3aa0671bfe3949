// What people ask of the records on Redis: incremental scans, tag by tag, each call a bounded piece of the keyspace.
//
//   holdfast:{orders}:kinds         what pipeline hashes stand for, by hash, written by workers that start
import { cancelledLateMs, encodeEntry, whoCharactersMax } from "../../core/history.ts";
import type { RunKind, RunState } from "../../core/run.ts";
import { wellFormedJson } from "../../core/well-formed-json.ts";
import { StoreUnavailableError } from "../../core/errors.ts";
import {
  type Cancellation,
  type GivingUp,
  type HistoryNote,
  kindsOutliveMs,
  type RunCreation,
  type RunRecords,
  type ScanPage,
  type StatedStep,
} from "../../ports/run-records.ts";
import { RedisClient } from "./client.ts";
import { lettersOf, packStep, stateLetters, unpackKinds, unpackScan } from "./records.ts";
import { commandTimeoutMsDefault, placesOf, type RedisRunStoreOptions } from "./run-store.ts";
import { scripts } from "./scripts.ts";
import { tagIndexOf } from "./tags.ts";

const cancelAnswers: ReadonlyMap<string, "ended" | "asked" | "given-up" | "done"> = new Map([
  ["w", "ended"],
  ["c", "asked"],
  ["x", "given-up"],
  ["d", "done"],
]);
const removeAnswers: ReadonlyMap<string, "removed" | "live"> = new Map([
  ["r", "removed"],
  ["l", "live"],
]);
const stateAnswers: ReadonlyMap<string, "stated" | "moved"> = new Map([
  ["w", "stated"],
  ["m", "moved"],
]);
const giveUpAnswers: ReadonlyMap<string, "given-up" | "moved"> = new Map([
  ["x", "given-up"],
  ["m", "moved"],
]);
const reasonCharactersMax = 200;
/** Keys that one call looks at: about a millisecond of Redis where all of them are wanted. */
const keysPerLook = 500;

class RedisRunRecords implements RunRecords {
  readonly #options: RedisRunStoreOptions;
  /** Prefix and tag of what belongs to the consumer as a whole. */
  readonly #base: string;
  /** Those of each tag. */
  readonly #bases: readonly string[];
  #client: RedisClient | undefined;

  constructor(options: RedisRunStoreOptions) {
    this.#options = options;
    const { whole, tags } = placesOf(options);
    this.#base = whole;
    this.#bases = tags;
  }

  async start(): Promise<void> {
    if (this.#client !== undefined) return;
    const { commandTimeoutMs = commandTimeoutMsDefault } = this.#options;
    const client = new RedisClient({ ...this.#options, commandTimeoutMs, onDisturbed: () => undefined });
    await client.start();
    this.#client = client;
  }

  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.stop();
  }

  /** A cursor is the number of the tag, and that of Redis in it. */
  async scan(cursor: string | undefined, states: readonly RunState[]): Promise<ScanPage> {
    const [number = 0, inTag = "0"] = cursor === undefined ? [] : [Number(cursor.split(" ")[0]), cursor.split(" ")[1]];
    const base = this.#bases[number];
    if (base === undefined) return { runs: [], next: undefined };
    const reply = await this.#connected().run(scripts.scan, [`${base}sentinel`], [base, inTag, String(keysPerLook), lettersOf(states)]);
    const { cursor: next, runs } = unpackScan(reply, this.#options.retentionMs);
    if (next !== "0") return { runs, next: `${number} ${next}` };
    return { runs, next: number + 1 < this.#bases.length ? `${number + 1} 0` : undefined };
  }

  async name(kinds: readonly RunKind[]): Promise<void> {
    const args = kinds.flatMap((kind) => [kind.pipelineHash, JSON.stringify(kind)]);
    await this.#connected().run(scripts.nameKinds, [`${this.#base}kinds`], [String(this.#options.retentionMs + kindsOutliveMs), ...args]);
  }

  async kinds(): Promise<readonly RunKind[]> {
    return unpackKinds(await this.#connected().run(scripts.kinds, [`${this.#base}kinds`], []));
  }

  async create({ eventId, payloadHash, pipelineHash, state, reason, steps, history, entry }: RunCreation): Promise<"created" | "exists"> {
    const { base, key } = this.#placeOf(eventId);
    const args = [
      String(this.#options.retentionMs),
      base,
      stateLetters[state],
      reason.slice(0, reasonCharactersMax),
      payloadHash,
      pipelineHash,
      entry === undefined ? "" : wellFormedJson(entry),
      String(steps.length),
    ];
    const packed = steps.flatMap((step) => [step.name, String(step.atMs), packStep(step)]);
    const made = await this.#connected().run(scripts.create, [key], [...args, ...packed, ...history.map(encodeEntry)]);
    return made === 1 ? "created" : "exists";
  }

  async cancel({ eventId, reason, who, death, verdict }: Cancellation): Promise<"ended" | "asked" | "given-up" | "done" | "unknown"> {
    const { base, key } = this.#placeOf(eventId);
    const entry = wellFormedJson({ kind: "cancelled", reason: reason.slice(0, reasonCharactersMax), who: who.slice(0, whoCharactersMax) });
    const died = encodeEntry({ kind: "died", state: "dead", ...death, atMs: 0 });
    const args = [String(this.#options.retentionMs), base, entry, died, verdict === undefined ? "" : packStep(verdict), String(cancelledLateMs)];
    return cancelAnswers.get(String(await this.#connected().run(scripts.cancel, [key], args))) ?? "unknown";
  }

  async giveUp({ eventId, epoch, reason, death, entry }: GivingUp): Promise<"given-up" | "moved" | "unknown"> {
    const { base, key } = this.#placeOf(eventId);
    const died: HistoryNote = { kind: "died", state: "dead", ...death };
    const args = [String(this.#options.retentionMs), base, String(epoch), reason.slice(0, reasonCharactersMax)];
    const entries = [wellFormedJson(died), String(cancelledLateMs), wellFormedJson(entry)];
    return giveUpAnswers.get(String(await this.#connected().run(scripts.giveUp, [key], [...args, ...entries]))) ?? "unknown";
  }

  async state({ eventId, epoch, step, entry }: StatedStep): Promise<"stated" | "moved" | "unknown"> {
    const { base, key } = this.#placeOf(eventId);
    const args = [String(this.#options.retentionMs), base, String(epoch), step.name, packStep(step), wellFormedJson(entry)];
    return stateAnswers.get(String(await this.#connected().run(scripts.state, [key], args))) ?? "unknown";
  }

  async remove(eventId: string): Promise<"removed" | "live" | "unknown"> {
    const { base, key } = this.#placeOf(eventId);
    return removeAnswers.get(String(await this.#connected().run(scripts.remove, [key], [base]))) ?? "unknown";
  }

  async note(eventId: string, entry: HistoryNote): Promise<void> {
    const { base, key } = this.#placeOf(eventId);
    await this.#connected().run(scripts.note, [key], [String(this.#options.retentionMs), base, wellFormedJson(entry)]);
  }

  #placeOf(eventId: string): { readonly base: string; readonly key: string } {
    const base = this.#bases[tagIndexOf(eventId, this.#bases.length)] ?? "";
    return { base, key: `${base}r:${eventId}` };
  }

  #connected(): RedisClient {
    if (this.#client === undefined) throw new StoreUnavailableError("expected started run records, found stopped ones; call start() first");
    return this.#client;
  }
}

/** The records that a run store with the same options keeps. */
export function createRedisRunRecords(options: RedisRunStoreOptions): RunRecords {
  return new RedisRunRecords(options);
}
