/** What a crash-point drill plays through. Adding one is a file in `scenarios/` and its line in `scenarios.ts`. */
import type { Dependency, Skill } from "#runtime/index.ts";
import type { DependencyOptions } from "#runtime/skills/author/define-dependency.ts";

export interface Deed {
  /** Names the effect in the ledger. */
  readonly deed: string;
  readonly takesMs?: number;
  /** Refused for good before anything happens. */
  readonly refused?: true;
  /** Takes back what its step did. */
  readonly isUndoing?: true;
}

/** What a plugin finds outside of its process. */
export interface Outside {
  /** Simulated time since the scenario began: what is wrong at first can be mended later. */
  readonly nowMs: () => number;
  /** A dependency that carries out deeds, once a key. */
  readonly ledger: Dependency<Deed, string>;
  /** Looks whether a deed was done for an event; its result or undefined. */
  readonly search: Dependency<{ readonly eventId: string; readonly deed: string }, string | undefined>;
  /** One more that carries out deeds, with limits of its own. */
  dependency(name: string, options: Pick<DependencyOptions, "bulkhead" | "circuit">): Dependency<Deed, string>;
}

export interface SentEvent {
  readonly eventId: string;
  readonly eventType?: string;
  readonly payload?: unknown;
  /** After the first worker was started; default at once. */
  readonly atMs?: number;
}

export interface ExpectedDeed {
  readonly deed: string;
  /** `once`: begun once at most, whatever happens; `per-key`: as often as need be, always under the same key. */
  readonly happens: "once" | "per-key";
  /** Done by none in some cases, such as the way that was not taken. */
  readonly isOptional?: true;
}

export interface Expected {
  /** How the event ends without trouble: `completed`, or `dead-lettered: REASON`. */
  readonly ends: string;
  /** How it may end besides when there was trouble. */
  readonly orEnds?: readonly string[];
  readonly deeds: readonly ExpectedDeed[];
  /** Steps that are compensated however it ends, in this order; default none. */
  readonly undone?: readonly string[];
  readonly emits: number;
}

/** What a scenario may do to the world while it runs. */
export interface Happenings {
  /** Calls `action` this long after the first worker was started. */
  at(atMs: number, action: () => void): void;
  stopWorker(): void;
  /** The store answers no worker any more, until it is back. */
  storeDown(): void;
  storeBack(): void;
  /** The store loses every record that it has. */
  storeEmptied(): void;
  /** All dead letters are replayed, by a command that is run again when it did not end well. */
  replayLetters(): void;
  /** The broker ends every lock. */
  loseLocks(): void;
  /** The threads of the worker end. */
  loseThread(): void;
}

export interface Scenario {
  readonly name: string;
  readonly skills: (outside: Outside) => readonly Skill[];
  readonly dependencies: (outside: Outside) => readonly Dependency[];
  readonly events: readonly SentEvent[];
  readonly happens?: (happenings: Happenings) => void;
  /** By eventId. */
  readonly expected: Readonly<Record<string, Expected>>;
}

/** Quick enough that a scenario with retries takes seconds of simulated time. */
export const quickRetry = { attemptsMax: 4, immediateMax: 1, immediateDelayMs: 100, baseDelayMs: 2_000, delayFactor: 2, delayMaxMs: 10_000 } as const;
export const handles = [{ eventType: "Task" }] as const;
