import type { Clock } from "#runtime/core/clock.ts";

/** An item and when it was meant to go, on the clock's monotonic time: latency is measured from then. */
export interface Due<Item> {
  readonly item: Item;
  readonly intendedAtMs: number;
}

export interface PaceOptions {
  /** When each item is due, in milliseconds from the start; see `arrivals.ts`. */
  readonly dueMs: Iterable<number>;
  readonly clock: Pick<Clock, "monotonicMs" | "after">;
  /** Most items handed out at once; default 500. */
  readonly batchMax?: number;
}

const defaultBatchMax = 500;

/**
 * Hands out items on an open-loop schedule: each is due at its time after the start, however long the consumer takes. Each
 * batch holds what is due now, so a consumer that falls behind gets larger batches and sees by `intendedAtMs` how late it is.
 */
export async function* paced<Item>(items: Iterable<Item>, options: PaceOptions): AsyncGenerator<readonly Due<Item>[]> {
  const { clock, batchMax = defaultBatchMax } = options;
  const times = options.dueMs[Symbol.iterator]();
  const startedAtMs = clock.monotonicMs();
  let batch: Due<Item>[] = [];
  for (const item of items) {
    const next = times.next();
    if (next.done === true) break;
    const intendedAtMs = startedAtMs + next.value;
    const aheadMs = intendedAtMs - clock.monotonicMs();
    if (batch.length > 0 && (aheadMs > 0 || batch.length >= batchMax)) {
      yield batch;
      batch = [];
    }
    const stillAheadMs = intendedAtMs - clock.monotonicMs();
    if (stillAheadMs > 0) {
      await new Promise<void>((resolve) => {
        clock.after(stillAheadMs, resolve);
      });
    }
    batch.push({ item, intendedAtMs });
  }
  if (batch.length > 0) yield batch;
}
