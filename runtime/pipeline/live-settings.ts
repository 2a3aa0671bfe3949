/**
 * Settings that are changed while the worker runs, by a document that says how they have to be. A document is taken as a whole or not at all:
 * it is checked first, and what one setting refuses takes back those before it. What it no longer says is as it was before any document; what
 * somebody changed by hand stays until the document says something else of it.
 *
 *   offered ──(wrong)──▶ refused: all stays
 *      │
 *      └──▶ applied ──(ready before, not ready within the trial)──▶ rolled back, until another document is offered
 */
import type { SettingsChangedEvent } from "../core/catalogue.ts";
import type { Clock, Timer } from "../core/clock.ts";
import { describeIssue, knownKeys } from "../core/config/explain.ts";
import { type LiveDocument, liveDocumentSchema } from "../core/config/live.ts";
import { messageOf } from "../core/errors.ts";

/** One thing that can be set: a group of values that are changed together. */
export interface LiveSetting {
  read(): Readonly<Record<string, unknown>>;
  /** Changes these alone. Throws `RangeError` for what cannot be, and changes nothing then. */
  change(values: Readonly<Record<string, unknown>>): void;
}

export interface LiveSettingsOptions {
  readonly clock: Pick<Clock, "monotonicMs" | "after">;
  /** By its place in a document. Throws `RangeError` where the worker has nothing of that name. */
  readonly settingAt: (place: readonly string[]) => LiveSetting;
  /** Why the worker is not ready, not counting a pause that was asked for. */
  readonly waitsFor: () => readonly string[];
  readonly tell: (event: SettingsChangedEvent) => void;
  readonly from: SettingsChangedEvent["from"];
  readonly trialMs: number;
}

const lookEveryMs = 200;
const remedy = "; correct that in the live settings, which are read again once they have changed";

type Values = Readonly<Record<string, unknown>>;
/** What a document says, by setting. */
type Said = ReadonlyMap<string, { readonly place: readonly string[]; readonly values: Values }>;

interface Undo {
  readonly setting: LiveSetting;
  readonly before: Values;
}

interface Trial {
  readonly timer: Timer;
  readonly undo: readonly Undo[];
  readonly before: Said;
  readonly changes: string;
}

function saidIn({ logLevel, isPaused, flags, retryBudget, loadShedding, latencyWatch, dependencies }: LiveDocument): Said {
  const said = new Map<string, { readonly place: readonly string[]; readonly values: Values }>();
  const add = (place: readonly string[], values: object | undefined): void => {
    const given = Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value !== undefined)) as Values;
    if (Object.keys(given).length > 0) said.set(JSON.stringify(place), { place, values: given });
  };
  add(["logLevel"], { logLevel });
  add(["isPaused"], { isPaused });
  add(["flags"], flags && Object.fromEntries(flags));
  add(["retryBudget"], retryBudget);
  add(["loadShedding"], loadShedding);
  add(["latencyWatch"], latencyWatch);
  for (const [name, { bulkhead, limits = [] }] of dependencies ?? []) {
    add(["dependencies", name, "bulkhead"], bulkhead);
    for (const { by = "all", ...rates } of limits) add(["dependencies", name, "limits", by], rates);
  }
  return said;
}

function isSame(one: Values | undefined, other: Values | undefined): boolean {
  const sorted = (values: Values = {}): string => JSON.stringify(Object.entries(values).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return sorted(one) === sorted(other);
}

export class LiveSettings {
  readonly #options: LiveSettingsOptions;
  /** Each value as it was before a document said anything of it. */
  readonly #originals = new Map<string, Map<string, unknown>>();
  #said: Said = new Map();
  /** What is applied and may have to be taken back. */
  #trial: Trial | undefined;

  constructor(options: LiveSettingsOptions) {
    this.#options = options;
  }

  /** Takes what was read. */
  offer(input: unknown): void {
    const result = liveDocumentSchema.safeParse(input ?? {}, { error: knownKeys });
    if (!result.success) return this.refuse(result.error.issues.flatMap((issue) => describeIssue(issue, input)).join("; ") + remedy);
    const said = saidIn(result.data);
    const undo: Undo[] = [];
    const changes: string[] = [];
    const before = this.#said;
    const wasReady = this.#options.waitsFor().length === 0;
    try {
      for (const [key, { place }] of new Map([...before, ...said])) {
        const change = this.#change(key, place, said, undo);
        if (change !== undefined) changes.push(change);
      }
    } catch (error) {
      this.#takeBack(undo);
      return this.refuse(messageOf(error) + remedy);
    }
    this.#said = said;
    if (changes.length === 0) return;
    this.#tell("applied", changes.join(", "), "");
    const running = this.#trial;
    running?.timer.cancel();
    // What was on trial before stays so: the way back leads to before both.
    if (running === undefined && !wasReady) return;
    const untilMs = this.#options.clock.monotonicMs() + this.#options.trialMs;
    const all = [...(running === undefined ? [] : [running.changes]), ...changes].join(", ");
    this.#try([...(running?.undo ?? []), ...undo], running?.before ?? before, all, untilMs);
  }

  /** What was to be read could not be, or is wrong: everything stays as it is. */
  refuse(error: string): void {
    this.#tell("refused", "", error);
  }

  stop(): void {
    this.#trial?.timer.cancel();
  }

  /** In words, what was changed; undefined where nothing was to be. */
  #change(key: string, place: readonly string[], said: Said, undo: Undo[]): string | undefined {
    const [old, wanted] = [this.#said.get(key)?.values, said.get(key)?.values];
    if (isSame(old, wanted)) return undefined;
    const setting = this.#options.settingAt(place);
    const now = setting.read();
    const originals = this.#originals.get(key) ?? new Map<string, unknown>();
    const names = Object.keys({ ...old, ...wanted });
    for (const name of names) if (!originals.has(name)) originals.set(name, now[name]);
    const values = Object.fromEntries(names.map((name) => [name, wanted !== undefined && Object.hasOwn(wanted, name) ? wanted[name] : originals.get(name)]));
    const before = Object.fromEntries(names.map((name) => [name, now[name]]));
    setting.change(values);
    this.#originals.set(key, originals);
    undo.push({ setting, before });
    const words = Object.entries(values).map(([name, value]) => `${name} ${JSON.stringify(before[name]) ?? "unset"} → ${JSON.stringify(value) ?? "unset"}`);
    return place.length === 1 && Object.hasOwn(values, place[0] ?? "") ? words.join(", ") : `${place.join(".")}: ${words.join(", ")}`;
  }

  #takeBack(undo: readonly Undo[]): void {
    for (const { setting, before } of undo.toReversed()) setting.change(before);
  }

  #try(undo: readonly Undo[], before: Said, changes: string, untilMs: number): void {
    const { clock, waitsFor } = this.#options;
    const timer = clock.after(lookEveryMs, () => {
      this.#trial = undefined;
      const why = waitsFor();
      if (why.length > 0) {
        this.#takeBack(undo);
        this.#said = before;
        this.#tell("rolled-back", changes, `the worker waits for ${why.join(", ")}`);
      } else if (clock.monotonicMs() < untilMs) this.#try(undo, before, changes, untilMs);
    });
    this.#trial = { timer, undo, before, changes };
  }

  #tell(state: SettingsChangedEvent["state"], changes: string, error: string): void {
    this.#options.tell({ type: "settings.changed", state, from: this.#options.from, changes, error });
  }
}
