/**
 * What becomes of events that were replayed, seen from outside: their records say so, and letters that lie in the dead-letter
 * queues since, for what was refused before it had a record.
 */
import { knowsReplay, lastDeath } from "../core/history.ts";
import type { RunView } from "../core/run.ts";
import type { RunStore } from "../ports/run-store.ts";
import { type Letter, type Letters, scanBox } from "./letters.ts";

export type ReplayOutcome =
  | { readonly kind: "completed" }
  /** `isSame`: of the failure that its letter had died of. */
  | { readonly kind: "failed"; readonly isSame: boolean; readonly fingerprint: string; readonly why: string };

/** A replay that is on its way. */
export interface Sent {
  readonly letter: Letter;
  readonly replayId: string;
}

/** Records that one look reads at once. */
const readsMax = 50;

function failed(letter: Letter, fingerprint: string, why: string): ReplayOutcome {
  return { kind: "failed", isSame: fingerprint === letter.fingerprint, fingerprint, why };
}

/** Undefined while the run is on its way. */
export function outcomeOf({ letter, replayId }: Sent, view: RunView | undefined): ReplayOutcome | undefined {
  if (view === undefined) return undefined;
  // Events that still wait in its outbox are what such a letter is about.
  if (view.state === "done") return view.outbox.length === 0 ? { kind: "completed" } : undefined;
  if (!knowsReplay(view.history, replayId)) return undefined;
  if (view.state === "dead" || view.state === "parked") {
    const death = lastDeath(view.history);
    return failed(letter, death?.fingerprint ?? "", death?.reason ?? view.reason ?? "");
  }
  // Retries may go on for long; a failure with the same code is the one that was there before.
  if (view.state === "waiting" && view.failures > 0 && view.reason === letter.code && letter.code !== "")
    return failed(letter, letter.fingerprint, `${view.reason}, to be retried`);
  return undefined;
}

export class Outcomes {
  readonly #letters: Letters;
  readonly #store: RunStore;
  readonly #pending = new Map<string, Sent>();
  /** In each box, what comes from here on is new. */
  readonly #next = new Map<string, bigint>();
  completed = 0;
  readonly failures: { readonly sent: Sent; readonly outcome: ReplayOutcome & { readonly kind: "failed" } }[] = [];

  /** `next`: sequence numbers after the last letters there were, by the boxes' names. */
  constructor(letters: Letters, store: RunStore, next: ReadonlyMap<string, bigint>) {
    this.#letters = letters;
    this.#store = store;
    this.#next = new Map(next);
  }

  get pending(): number {
    return this.#pending.size;
  }

  add(sent: Sent): void {
    this.#pending.set(sent.replayId, sent);
  }

  /** No replay of it could be sent. */
  refused(sent: Sent, why: string): void {
    this.failures.push({ sent, outcome: { kind: "failed", isSame: false, fingerprint: "", why } });
  }

  /** Looks once at everything that is on its way. */
  async look(): Promise<void> {
    for (const box of this.#letters.boxes) {
      for await (const { letter } of scanBox(this.#letters, box, this.#next.get(box.name) ?? 0n)) {
        this.#next.set(box.name, letter.sequenceNumber + 1n);
        const sent = letter.replayId === undefined ? undefined : this.#pending.get(letter.replayId);
        if (sent !== undefined) this.#ended(sent, failed(sent.letter, letter.fingerprint, letter.reason));
      }
    }
    const waiting = [...this.#pending.values()];
    for (let at = 0; at < waiting.length; at += readsMax) {
      await Promise.all(
        waiting.slice(at, at + readsMax).map(async (sent) => {
          const outcome = outcomeOf(sent, await this.#store.read(sent.letter.eventId));
          if (outcome !== undefined) this.#ended(sent, outcome);
        }),
      );
    }
  }

  #ended(sent: Sent, outcome: ReplayOutcome): void {
    if (!this.#pending.delete(sent.replayId)) return;
    if (outcome.kind === "completed") this.completed += 1;
    else this.failures.push({ sent, outcome });
  }
}
