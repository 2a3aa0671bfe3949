// The ledger of a stand-in: what was called, how often, and how often it had an effect.
//
// It is the witness for "an effect happens once per event", so it must not take the caller's word for it. A caller that made
// up a fresh key for each attempt would never repeat one; so next to each key the ledger counts the keys seen for one run
// and step, and `effectsAgain` says how many effects a step had beyond its first.
//
// A million calls must fit: keys are kept as 64-bit digests in typed columns, about 60 bytes a key. Only a key that is called
// again gets its text and a full list of its calls, and those lists are bounded.
import { digestOf, HashIndex, widened } from "./hash-index.ts";

/** One call, as its headers and the clock tell it. */
export interface CallArrival {
  readonly key: string | undefined;
  readonly run: string;
  readonly step: string;
  readonly epoch: number;
  readonly atMs: number;
  /** A checksum of the request, to notice one key on two different requests. */
  readonly requestChecksum: number;
}

/** A call that was booked. */
export interface Entry {
  readonly kind: "booked";
  /** Numbers the keys from 0; -1 for a call without a key. */
  readonly row: number;
  /** 1 for the first call with this key. */
  readonly nth: number;
  /** The effect happened before: give the same answer and do nothing. */
  readonly replay: boolean;
  /** When the first call with this key came. */
  readonly firstAtMs: number;
}

/** A call that cannot be served: its key was used for another request, or there is no room for another key. */
export interface Refusal {
  readonly kind: "refused";
  readonly why: "conflict" | "full";
}

export interface RepeatedCall {
  readonly atMs: number;
  readonly run: string;
  readonly step: string;
  readonly epoch: number;
}

/** A key that was called more than once, with its calls in the order they came (at most `callsKeptMax`). */
export interface RepeatedKey {
  readonly key: string;
  readonly effects: number;
  readonly callsTotal: number;
  readonly calls: readonly RepeatedCall[];
}

export interface LedgerSummary {
  /** Every request, whatever was answered. */
  readonly calls: number;
  readonly distinctKeys: number;
  /** Times the work was done. */
  readonly effects: number;
  /** Calls whose effect had happened before, answered from memory. */
  readonly replays: number;
  /** Keys that were called more than once, for whatever reason. */
  readonly repeatedKeys: number;
  /** Calls answered with a failure, without an effect. */
  readonly failures: number;
  /** Effects of one run and step beyond its first: 0 when every step of every run had its effect once. */
  readonly effectsAgain: number;
  /** Calls that used a key again for a different request. */
  readonly conflicts: number;
  /** Calls without a key; each had an effect of its own. */
  readonly withoutKey: number;
  /** Calls refused because the ledger had no room. */
  readonly refused: number;
  readonly effectsByStep: Readonly<Record<string, number>>;
}

export const ledgerKeysMax = 4_000_000;
const repeatedKeysMax = 100_000;
const callsKeptMax = 20;
const stepNamesMax = 1_000;
const otherSteps = "(other steps)";

interface Repeat {
  readonly key: string;
  readonly row: number;
  readonly calls: RepeatedCall[];
}

export class Ledger {
  readonly #keys: HashIndex;
  readonly #steps: HashIndex;
  #firstAtMs = new Float64Array(1 << 10);
  #epochs = new Uint32Array(1 << 10);
  #checksums = new Uint32Array(1 << 10);
  #runs = new Uint32Array(1 << 10);
  #stepNumbers = new Uint16Array(1 << 10);
  #calls = new Uint16Array(1 << 10);
  #done = new Uint8Array(1 << 10);
  readonly #stepNames: string[] = [];
  readonly #stepNumberOf = new Map<string, number>();
  #effectsByStep = new Float64Array(stepNamesMax + 1);
  readonly #repeats = new Map<number, Repeat>();
  #totals = { calls: 0, effects: 0, replays: 0, repeatedKeys: 0, failures: 0, effectsAgain: 0, conflicts: 0, withoutKey: 0, refused: 0 };

  constructor(keysMax: number = ledgerKeysMax) {
    this.#keys = new HashIndex(keysMax);
    this.#steps = new HashIndex(keysMax);
  }

  /** Books a call and says what is known of its key. */
  arrive(call: CallArrival): Entry | Refusal {
    this.#totals.calls++;
    if (call.key === undefined) {
      this.#totals.withoutKey++;
      return { kind: "booked", row: -1, nth: 1, replay: false, firstAtMs: call.atMs };
    }
    const digest = digestOf(call.key);
    const known = this.#keys.find(digest);
    if (known !== undefined) return this.#arriveAgain(known, call.key, call);
    const row = this.#keys.add(digest);
    if (row === undefined) {
      this.#totals.refused++;
      return { kind: "refused", why: "full" };
    }
    this.#makeRoom(row);
    this.#firstAtMs[row] = call.atMs;
    this.#epochs[row] = call.epoch;
    this.#checksums[row] = call.requestChecksum;
    this.#runs[row] = digestOf(call.run).low;
    this.#stepNumbers[row] = this.#stepNumber(call.step);
    this.#calls[row] = 1;
    return { kind: "booked", row, nth: 1, replay: false, firstAtMs: call.atMs };
  }

  /** Books that the call had its effect. */
  effect(entry: Entry, call: CallArrival): void {
    this.#totals.effects++;
    const number = this.#stepNumber(call.step);
    this.#effectsByStep[number] = (this.#effectsByStep[number] ?? 0) + 1;
    if (entry.row >= 0) this.#done[entry.row] = 1;
    if (call.run === "") return;
    const step = digestOf(`${call.run}\n${call.step}`);
    if (this.#steps.find(step) === undefined) this.#steps.add(step);
    else this.#totals.effectsAgain++;
  }

  /** Books that the call was answered with a failure and had no effect. */
  failure(): void {
    this.#totals.failures++;
  }

  summary(): LedgerSummary {
    const effects = Array.from(this.#stepNames.entries(), ([number, name]): [string, number] => [name, this.#effectsByStep[number] ?? 0]);
    const others = this.#effectsByStep[stepNamesMax] ?? 0;
    if (others > 0) effects.push([otherSteps, others]);
    return { ...this.#totals, distinctKeys: this.#keys.size, effectsByStep: Object.fromEntries(effects) };
  }

  /** Keys called more than once, at most `repeatedKeysMax` of them; `summary().repeatedKeys` counts them all. */
  repeats(): RepeatedKey[] {
    return [...this.#repeats.values()].map(({ key, row, calls }) => ({ key, effects: this.#done[row] ?? 0, callsTotal: this.#calls[row] ?? 0, calls }));
  }

  #arriveAgain(row: number, key: string, call: CallArrival): Entry | Refusal {
    const nth = Math.min((this.#calls[row] ?? 0) + 1, 0xffff);
    this.#calls[row] = nth;
    if (nth === 2) this.#totals.repeatedKeys++;
    this.#keepRepeat(row, key, call);
    if (this.#checksums[row] !== call.requestChecksum) {
      this.#totals.conflicts++;
      return { kind: "refused", why: "conflict" };
    }
    const replay = this.#done[row] === 1;
    if (replay) this.#totals.replays++;
    return { kind: "booked", row, nth, replay, firstAtMs: this.#firstAtMs[row] ?? 0 };
  }

  #keepRepeat(row: number, key: string, call: CallArrival): void {
    let repeat = this.#repeats.get(row);
    if (repeat === undefined) {
      if (this.#repeats.size >= repeatedKeysMax) return;
      // The first call's run was kept as a digest alone; it is named when this call tells the same one.
      const run = this.#runs[row] === digestOf(call.run).low ? call.run : "(a different run)";
      const step = this.#stepNames[this.#stepNumbers[row] ?? 0] ?? otherSteps;
      repeat = { key, row, calls: [{ atMs: this.#firstAtMs[row] ?? 0, run, step, epoch: this.#epochs[row] ?? 0 }] };
      this.#repeats.set(row, repeat);
    }
    if (repeat.calls.length < callsKeptMax) repeat.calls.push({ atMs: call.atMs, run: call.run, step: call.step, epoch: call.epoch });
  }

  #stepNumber(step: string): number {
    const known = this.#stepNumberOf.get(step);
    if (known !== undefined) return known;
    if (this.#stepNames.length >= stepNamesMax) return stepNamesMax;
    const number = this.#stepNames.push(step) - 1;
    this.#stepNumberOf.set(step, number);
    return number;
  }

  #makeRoom(row: number): void {
    if (row < this.#firstAtMs.length) return;
    const length = this.#firstAtMs.length * 2;
    this.#firstAtMs = widened(this.#firstAtMs, length);
    this.#epochs = widened(this.#epochs, length);
    this.#checksums = widened(this.#checksums, length);
    this.#runs = widened(this.#runs, length);
    this.#stepNumbers = widened(this.#stepNumbers, length);
    this.#calls = widened(this.#calls, length);
    this.#done = widened(this.#done, length);
  }
}
