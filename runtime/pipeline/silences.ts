/**
 * Receivers that get nothing although their entity is not empty. A silent one is replaced; when that brings nothing either, the whole
 * connection is, again and again until a message comes or the entity is found empty. When the entity cannot even be looked at, the
 * connection is replaced at once, unless the broker has asked for patience. A connection that serves another source, or the sessions of this one, is sound,
 * and left alone.
 *
 * However many sources are silent, entities are looked at as often as those of four would be: idle sources cost next to nothing.
 */
import type { Clock } from "../core/clock.ts";
import { TransportError } from "../core/errors.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Transport } from "../ports/transport.ts";
import type { Receiving } from "./receiving.ts";
import type { SourceHealth } from "./source-health.ts";

/** Looks within the time of silence after which one is due. */
const looksMax = 4;

export interface SilencesOptions {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly pipelines: readonly WatchedPipeline[];
  /** How long a receiver with credit may get nothing before the entity is looked at. */
  readonly silenceMaxMs: number;
}

/** As much of a source's pipeline as is looked at. */
export interface WatchedPipeline {
  readonly source: { readonly name: string; readonly transport: Pick<Transport, "hasBacklog"> };
  readonly health: Pick<SourceHealth, "trouble" | "served" | "disturbed">;
  readonly receiving: Pick<Receiving, "silentSinceMs" | "received" | "lastReceivedMs" | "rebuild">;
}

/** What is known of one receiver's silence. */
interface Watched {
  readonly pipeline: WatchedPipeline;
  checkedMs: number;
  rebuiltInVain: number;
  /** The entity could not be looked at last. */
  isUnseen: boolean;
  /** Messages taken when something was last replaced. */
  receivedBefore: number;
}

export class Silences {
  readonly #options: SilencesOptions;
  readonly #all: readonly Watched[];
  #isChecking = false;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(options: SilencesOptions) {
    this.#options = options;
    this.#all = options.pipelines.map((pipeline) => ({ pipeline, checkedMs: 0, rebuiltInVain: 0, isUnseen: false, receivedBefore: 0 }));
  }

  /** How often a source's receiver or connection was replaced since a message last came from it, or could have come; the least of any. */
  get rebuiltInVain(): number {
    return Math.min(...this.#all.map(inVain));
  }

  stop(): void {
    this.#isStopped = true;
  }

  look(nowMs: number): void {
    const { silenceMaxMs } = this.#options;
    if (this.#isChecking || (this.#all.length > looksMax && nowMs - this.#checkedMs < silenceMaxMs / looksMax)) return;
    let next: Watched | undefined;
    for (const watched of this.#all) {
      const since = watched.pipeline.receiving.silentSinceMs;
      if (since === undefined || nowMs - Math.max(since, watched.checkedMs) < silenceMaxMs) continue;
      if (next === undefined || watched.checkedMs < next.checkedMs) next = watched;
    }
    if (next === undefined) return;
    this.#isChecking = true;
    this.#checkedMs = nowMs;
    next.checkedMs = nowMs;
    void this.#check(next, next.pipeline.receiving.silentSinceMs).finally(() => {
      this.#isChecking = false;
    });
  }

  async #check(watched: Watched, since: number | undefined): Promise<void> {
    const { receiving, health, source } = watched.pipeline;
    let canBeLookedAt = true;
    try {
      const hasBacklog = await source.transport.hasBacklog();
      // One that can be looked at may be closed to receivers all the same, which hear of it by themselves.
      if (watched.isUnseen) health.served();
      watched.isUnseen = false;
      if (!hasBacklog) {
        watched.rebuiltInVain = 0;
        return;
      }
      // What is wrong with the entity is tried again by its receiver; another one, or another connection, is of no use.
      if (health.trouble !== undefined) return;
    } catch (error) {
      watched.isUnseen = true;
      // As above: an entity that is not there, or is disabled, is the same over another connection. A right may be had with one.
      if (!health.disturbed(error) && health.trouble !== "forbidden") return;
      if (error instanceof TransportError && error.retryAfterMs !== undefined) return;
      canBeLookedAt = false;
    }
    if (this.#isStopped || receiving.silentSinceMs !== since) return;
    await this.#mend(watched, canBeLookedAt);
  }

  async #mend(watched: Watched, canBeLookedAt: boolean): Promise<void> {
    const { receiving, source } = watched.pipeline;
    const why = canBeLookedAt ? "the queue holds messages, and none came" : "no message came, and the queue could not be looked at";
    const isFirstTry = canBeLookedAt && inVain(watched) === 0;
    const what = isFirstTry || this.#isConnectionSound() ? "receiver" : "connection";
    watched.rebuiltInVain = inVain(watched) + 1;
    watched.receivedBefore = receiving.received;
    this.#options.telemetry.emit({ type: `${what}.rebuilt`, source: source.name, why });
    await receiving.rebuild(what);
  }

  /** Something came from another source, or in another way, since the silence began to be too long. */
  #isConnectionSound(): boolean {
    const { clock, silenceMaxMs } = this.#options;
    const sinceMs = clock.monotonicMs() - silenceMaxMs;
    return this.#all.some(({ pipeline }) => pipeline.receiving.lastReceivedMs > sinceMs);
  }
}

function inVain({ pipeline: { receiving }, receivedBefore, rebuiltInVain }: Watched): number {
  return receiving.received === receivedBefore ? rebuiltInVain : 0;
}
