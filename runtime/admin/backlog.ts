/** How many messages lie in the queues: asked of the broker when somebody asks here, and not more often than now and then. */

export type Depth = Readonly<Record<"active" | "scheduled" | "deadLettered", number>>;

export interface BacklogOptions {
  readonly sources: readonly string[];
  /** Rejects where the broker does not say: it wants a right for that which a worker does not need. */
  readonly read: (source: string) => Promise<Depth>;
  readonly monotonicMs: () => number;
}

const askEveryMs = 15_000;
/** What is older is not known any more. */
const forgetAfterMs = 60_000;

export class Backlog {
  readonly #options: BacklogOptions;
  readonly #known = new Map<string, { readonly depth: Depth; readonly atMs: number }>();
  #askedMs = Number.NEGATIVE_INFINITY;

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** As it was told last, by source; sources of which it is not known are left out. Has it asked again where that was long ago. */
  depths(): readonly (readonly [source: string, depth: Depth])[] {
    const nowMs = this.#options.monotonicMs();
    if (nowMs - this.#askedMs >= askEveryMs) {
      this.#askedMs = nowMs;
      for (const source of this.#options.sources) void this.#ask(source);
    }
    return Array.from(this.#known).flatMap(([source, { depth, atMs }]) => (nowMs - atMs > forgetAfterMs ? [] : [[source, depth] as const]));
  }

  async #ask(source: string): Promise<void> {
    try {
      this.#known.set(source, { depth: await this.#options.read(source), atMs: this.#options.monotonicMs() });
    } catch {
      this.#known.delete(source);
    }
  }
}
