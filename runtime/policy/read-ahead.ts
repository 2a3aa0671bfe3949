/**
 * How far a worker may read ahead of what it can run. Messages whose lane is full are postponed, so that others behind them
 * are reached; each costs a copy and a settlement and brings nothing forward. Here that cost is kept in proportion to what
 * it finds: each run that starts without waiting earns `perRun` postponements, and each second `perSecond` more, so that a
 * queue full of messages for a hung dependency is still searched for others. `reserve` is there at the start and the most that
 * can be saved.
 */
export class ReadAhead {
  readonly #perRun: number;
  readonly #perSecond: number;
  /** The most that can be saved; what is beyond it when it falls is lost. */
  reserve: number;
  readonly #gapMaxMs: number;
  #tokens: number;
  #countedMs: number | undefined;

  /** `gapMaxMs`: time counts only while it is asked at least as often. With a bound it begins with nothing. */
  constructor(perRun = 4, perSecond = 100, reserve = 300, gapMaxMs: number = Number.POSITIVE_INFINITY) {
    this.#perRun = perRun;
    this.#perSecond = perSecond;
    this.reserve = reserve;
    this.#gapMaxMs = gapMaxMs;
    this.#tokens = Number.isFinite(gapMaxMs) ? 0 : reserve;
  }

  /** Counts a run that started without waiting. */
  found(): void {
    this.#tokens = Math.min(this.reserve, this.#tokens + this.#perRun);
  }

  /** Counts a message that there was no use for: it was here already, so this may take what there is not. */
  spent(): void {
    this.#tokens -= 1;
  }

  /** How many more messages may be read that may have to be postponed; 0 or more. */
  left(nowMs: number): number {
    const gapMs = nowMs - (this.#countedMs ?? (Number.isFinite(this.#gapMaxMs) ? nowMs : 0));
    const earned = gapMs <= this.#gapMaxMs ? (gapMs * this.#perSecond) / 1_000 : 0;
    this.#tokens = Math.min(this.reserve, this.#tokens + earned);
    this.#countedMs = nowMs;
    return Math.max(0, Math.floor(this.#tokens));
  }
}
