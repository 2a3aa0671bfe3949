// How long the parts of a start take, so that a slow one can be named.

/** A part of a start that took long. */
export interface SlowStart {
  readonly plugin: string;
  /** Empty for the plugin as a whole. */
  readonly skill: string;
  readonly part: "import" | "payload schema" | "warmUp";
  readonly tookMs: number;
}

/** A part of a start is slow from here on. */
export const slowStartMs = 500;

/** Tells each part once, though every thread finds it slow. */
export function toldOnce(tell: ((part: SlowStart) => void) | undefined): (parts: readonly SlowStart[]) => void {
  const known = new Set<string>();
  return (parts) => {
    for (const slow of parts) {
      const key = [slow.plugin, slow.skill, slow.part].join(" ");
      if (!known.has(key)) tell?.(slow);
      known.add(key);
    }
  };
}

export class StartTimes {
  readonly #nowMs: () => number;
  readonly #slow: SlowStart[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get slow(): readonly SlowStart[] {
    return this.#slow;
  }

  /** Does a part of the start and notes when it was slow. */
  async time<Result>(plugin: string, skill: string, part: SlowStart["part"], work: () => Promise<Result> | Result): Promise<Result> {
    const startedMs = this.#nowMs();
    const result = await work();
    const tookMs = Math.round(this.#nowMs() - startedMs);
    if (tookMs >= slowStartMs) this.#slow.push({ plugin, skill, part, tookMs });
    return result;
  }
}
