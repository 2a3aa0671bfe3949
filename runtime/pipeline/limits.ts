/**
 * Keeps the rate limits of policy/rate-limits.ts going: makes the draws that they want, all of a tick together; lets runs begin when
 * their units have come; and answers runs in progress that asked for more.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { RateLimits, ShareDraw } from "../policy/rate-limits.ts";
import { shareMs } from "../policy/rate-share.ts";
import type { Executor, UsageRequest } from "../ports/executor.ts";
import type { SharedLimits } from "../ports/shared-limits.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { InFlight } from "./in-flight.ts";
import type { Work } from "./work.ts";

/** After a draw that failed nothing is drawn for its key for so long. */
const failedPauseMs = 1_000;
/** Runs whose units are here and that are held up, as while the store is down, are looked at again so much later; what lets them go says so, too. */
const heldUpMs = 100;

export interface LimitsOptions {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly executor: Pick<Executor, "allow">;
  readonly inFlight: InFlight;
  readonly shared: SharedLimits;
  readonly limits: RateLimits<Work>;
  /** Runs that waited may begin. */
  moved(): void;
}

export class Limits {
  readonly #options: LimitsOptions;
  #isFlushing = false;
  #wake: Timer | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #look: Timer | undefined;
  #downSinceMs: number | undefined;
  #isStopped = false;

  constructor(options: LimitsOptions) {
    this.#options = options;
  }

  /** There may be something to draw, or to wait for; looks once a tick. */
  asked(): void {
    if (this.#isFlushing || this.#isStopped) return;
    this.#isFlushing = true;
    this.#options.clock.soon(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  /** Runs in progress need more. */
  request(requests: readonly UsageRequest[]): void {
    const { inFlight, limits, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const { runId, requestId, dependency, requests: some, tokens, waitMaxMs } of requests) {
      const work = inFlight.get(runId);
      if (work?.stage === "executing") limits.more(work, { runId, requestId, dependency, usage: { requests: some, tokens }, waitMaxMs }, nowMs);
    }
  }

  /** Gives back what is not spent; what is drawn no more is let go. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake?.cancel();
    this.#look?.cancel();
    const { limits, clock, shared } = this.#options;
    const nowMs = clock.monotonicMs();
    const back = [...limits.look(nowMs), ...limits.look(nowMs)];
    if (back.length > 0) await shared.draw(back).catch(() => undefined);
  }

  #flush(): void {
    const { limits, clock } = this.#options;
    const draws = limits.draws(clock.monotonicMs());
    if (draws.length > 0) void this.#draw(draws);
    this.#goOn();
  }

  async #draw(draws: readonly ShareDraw[]): Promise<void> {
    const { limits, clock, shared } = this.#options;
    try {
      const grants = await shared.draw(draws);
      const nowMs = clock.monotonicMs();
      draws.forEach(({ key }, index) => limits.answered(key, grants[index], nowMs, failedPauseMs));
      this.#tellUp(nowMs);
    } catch (error) {
      const nowMs = clock.monotonicMs();
      for (const { key } of draws) limits.answered(key, undefined, nowMs, failedPauseMs);
      this.#tellDown(error);
    }
    this.#goOn();
  }

  #tellDown(error: unknown): void {
    if (this.#downSinceMs !== undefined) return;
    this.#downSinceMs = this.#options.clock.monotonicMs();
    this.#options.telemetry.emit({ type: "limits.unavailable", error: messageOf(error) });
  }

  #tellUp(nowMs: number): void {
    if (this.#downSinceMs === undefined) return;
    const downMs = nowMs - this.#downSinceMs;
    this.#downSinceMs = undefined;
    this.#options.telemetry.emit({ type: "limits.recovered", downMs });
  }

  /** What can go on goes on, and what waits is looked at again in time. */
  #goOn(): void {
    if (this.#isStopped) return;
    const { limits, clock } = this.#options;
    if (limits.waiting > 0) this.#options.moved();
    limits.nextInProgress(clock.monotonicMs());
    this.#answer();
    this.#wakeIn(limits.dueMs(clock.monotonicMs(), heldUpMs));
    if (limits.isActive) this.#lookLater();
  }

  #answer(): void {
    const { limits, executor } = this.#options;
    const answers = limits.takeAnswers();
    if (answers.length > 0) executor.allow(answers);
  }

  #wakeIn(inMs: number): void {
    if (inMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#options;
    const atMs = clock.monotonicMs() + inMs;
    if (atMs >= this.#wakeAtMs) return;
    this.#wake?.cancel();
    this.#wakeAtMs = atMs;
    this.#wake = clock.after(inMs, () => {
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.#goOn();
    });
  }

  #lookLater(): void {
    const { clock, limits, shared } = this.#options;
    this.#look ??= clock.after(shareMs, () => {
      this.#look = undefined;
      const back = limits.look(clock.monotonicMs());
      if (back.length > 0) shared.draw(back).catch((error: unknown) => this.#tellDown(error));
      this.#flush();
    });
  }
}
