/** Feature flags as they are at this moment, in memory that the main thread and all skill threads share: to look costs no message. */
import { didYouMean } from "../../core/near-name.ts";
import { PermanentError } from "../author/errors.ts";

/** What a thread is given of them. */
export interface SharedFlags {
  readonly names: readonly string[];
  /** An Int32 for each of them: 1 where it is on. */
  readonly values: SharedArrayBuffer;
}

export class Flags {
  readonly shared: SharedFlags;
  readonly #places: ReadonlyMap<string, number>;
  readonly #values: Int32Array;

  constructor(shared: SharedFlags) {
    this.shared = shared;
    this.#places = new Map(shared.names.map((name, place) => [name, place]));
    this.#values = new Int32Array(shared.values);
  }

  static of(states: ReadonlyMap<string, boolean>): Flags {
    const flags = new Flags({ names: [...states.keys()], values: new SharedArrayBuffer(states.size * Int32Array.BYTES_PER_ELEMENT) });
    for (const [name, isOn] of states) flags.set(name, isOn);
    return flags;
  }

  /** Throws `PermanentError` for a flag that there is not: one that is misspelt would be off for ever. */
  isOn(name: string): boolean {
    const place = this.#places.get(name);
    if (place === undefined) throw new PermanentError(this.#unknown(name), { code: "FLAG_UNKNOWN" });
    return Atomics.load(this.#values, place) === 1;
  }

  /** Throws `RangeError` for a flag that there is not. */
  set(name: string, isOn: boolean): void {
    const place = this.#places.get(name);
    if (place === undefined) throw new RangeError(this.#unknown(name));
    Atomics.store(this.#values, place, isOn ? 1 : 0);
  }

  all(): Readonly<Record<string, boolean>> {
    return Object.fromEntries(Array.from(this.#places, ([name, place]) => [name, Atomics.load(this.#values, place) === 1]));
  }

  #unknown(name: string): string {
    const { names } = this.shared;
    return `expected a flag that 'flags' of the configuration names (${names.join(", ") || "none"}), found '${name}'${didYouMean(name, names)}`;
  }
}
