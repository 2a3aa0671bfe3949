/**
 * Whether a source serves. What is wrong with it is reported once, in words, however often it is tried again; and so is that it serves again.
 * One that could not be connected at the start is connected later, with growing pauses, while the others work.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf, TransportError } from "../core/errors.ts";
import { refusedPauseMaxMs } from "../core/reopen-pause.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Source } from "./source.ts";

const pauseFirstMs = 1_000;

/** `refused`: the broker does not let it be read as it is; `unreachable`: it could not be connected, and nothing is known of why. */
export type SourceTrouble = "missing" | "disabled" | "forbidden" | "refused" | "unreachable";

export interface SourceHealthOptions {
  readonly source: Source;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** What is wrong with the entity, and not with the way to it; undefined when it may be either. */
function troubleOf(error: unknown): SourceTrouble | undefined {
  if (!(error instanceof TransportError)) return undefined;
  return error.entityTrouble ?? (error.isPermanent ? "refused" : undefined);
}

/** Whether no time will mend it: the entity is of another kind than the configuration says, or the configuration itself is wrong. */
export function isMistake(error: unknown): boolean {
  return !(error instanceof TransportError) || troubleOf(error) === "refused";
}

export class SourceHealth {
  readonly #options: SourceHealthOptions;
  #down: { readonly trouble: SourceTrouble; readonly sinceMs: number } | undefined;
  #retry: Timer | undefined;
  #isStopped = false;

  constructor(options: SourceHealthOptions) {
    this.#options = options;
  }

  /** Undefined while nothing is known to be wrong. */
  get trouble(): SourceTrouble | undefined {
    return this.#down?.trouble;
  }

  /** Receiving was disturbed. What is wrong with the entity is told once and lasts, all else each time. True for the latter. */
  disturbed(error: unknown): boolean {
    const trouble = troubleOf(error);
    if (trouble !== undefined) this.#tell(trouble, error);
    else this.#options.telemetry.emit({ type: "transport.disturbed", source: this.#options.source.name, error: messageOf(error) });
    return trouble === undefined;
  }

  /** Something came from it, or it could be looked into. */
  served(): void {
    if (this.#down === undefined) return;
    const { source, clock, telemetry } = this.#options;
    const downMs = Math.round(clock.monotonicMs() - this.#down.sinceMs);
    this.#down = undefined;
    telemetry.emit({ type: "source.up", source: source.name, downMs });
  }

  /** It could not be connected: that is tried again until it can be, or the worker stops. */
  connectLater(error: unknown, connected: () => void, pauseMs: number = pauseFirstMs): void {
    if (this.#isStopped) return;
    const { clock } = this.#options;
    this.#tell(troubleOf(error) ?? "unreachable", error);
    this.#retry = clock.after(pauseMs, () => void this.#connect(connected, pauseMs));
  }

  async #connect(connected: () => void, pauseMs: number): Promise<void> {
    try {
      await this.#options.source.transport.start();
    } catch (error) {
      return this.connectLater(error, connected, Math.min(refusedPauseMaxMs, pauseMs * 2));
    }
    if (this.#isStopped) return;
    this.served();
    connected();
  }

  stop(): void {
    this.#isStopped = true;
    this.#retry?.cancel();
  }

  #tell(trouble: SourceTrouble, error: unknown): void {
    if (this.#down?.trouble === trouble) return;
    const { source, clock, telemetry } = this.#options;
    this.#down = { trouble, sinceMs: this.#down?.sinceMs ?? clock.monotonicMs() };
    telemetry.emit({ type: "source.down", source: source.name, trouble, error: messageOf(error) });
  }
}
