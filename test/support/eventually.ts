import { setImmediate as nextTurn } from "node:timers/promises";

/** So long a condition is looked at in every turn of the loop; then more and more seldom, for what it waits for needs the processor, too. */
const everyTurnMs = 20;
/** Between two looks: so much of what it has taken so far, and so much at most. */
const pausePart = 0.05;
const pauseMsMax = 5;
/** For what ends at once on a machine that has nothing else to do. */
const deadlineMsDefault = 20_000;
/** Of a deadline, how many parts count apart: a span in which this process stood still counts as one of them at most. */
const parts = 20;
/** The real ones, also where a test has put others in their place by then. */
const [after, every] = [setTimeout, setInterval];

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    after(resolve, durationMs);
  });
}

/**
 * Waits until `condition` gives something truthy and returns it; throws with `what` past the deadline. For conditions that
 * have no signal of their own; where there is one, wait on that.
 */
export async function eventually<T>(what: string, condition: () => T | Promise<T>, deadlineMs = deadlineMsDefault): Promise<NonNullable<T>> {
  let tookMs = 0;
  for (let lookedMs = performance.now(); ;) {
    const value = await condition();
    if (value !== undefined && value !== null && value !== false) return value;
    const nowMs = performance.now();
    tookMs += Math.min(nowMs - lookedMs, deadlineMs / parts);
    lookedMs = nowMs;
    if (tookMs > deadlineMs) throw new Error(`expected ${what} within ${deadlineMs} ms`);
    if (tookMs < everyTurnMs) await nextTurn();
    else await pause(Math.min(pauseMsMax, tookMs * pausePart));
  }
}

/** Rejects when `promise` has not settled within the deadline. */
export async function within<T>(what: string, promise: Promise<T>, deadlineMs = deadlineMsDefault): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  let left = parts;
  const timer = every(() => {
    left -= 1;
    if (left === 0) reject(new Error(`expected ${what} within ${deadlineMs} ms`));
  }, deadlineMs / parts);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearInterval(timer);
  }
}
