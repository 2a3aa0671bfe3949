/** Counts by the values of labels, for what happens less than once a message. */
import { otherValue, valuesMax } from "../../../core/metric-catalogue.ts";

export class Counts {
  readonly #labels: readonly string[];
  readonly #byKey = new Map<string, { readonly values: readonly string[]; count: number }>();
  /** Values of each label so far. */
  readonly #known: readonly Set<string>[];

  constructor(labels: readonly string[]) {
    this.#labels = labels;
    this.#known = labels.map(() => new Set());
  }

  add(values: readonly string[], count = 1): void {
    const bounded = values.map((value, index) => this.#bounded(value, index));
    const key = bounded.join("\n");
    const known = this.#byKey.get(key);
    if (known === undefined) this.#byKey.set(key, { values: bounded, count });
    else known.count += count;
  }

  list(): readonly { readonly labels: Readonly<Record<string, string>>; readonly count: number }[] {
    return Array.from(this.#byKey.values(), ({ values, count }) => ({
      labels: Object.fromEntries(this.#labels.map((label, index) => [label, values[index] ?? ""])),
      count,
    }));
  }

  #bounded(value: string, index: number): string {
    const known = this.#known[index];
    if (known === undefined || known.has(value)) return value;
    if (known.size >= valuesMax) return otherValue;
    known.add(value);
    return value;
  }
}
