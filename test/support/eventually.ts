import { setImmediate as nextTurn } from "node:timers/promises";

/**
 * Waits until `condition` gives something truthy and returns it; throws with `what` past the deadline. For conditions that
 * have no signal of their own; where there is one, wait on that.
 */
export async function eventually<T>(what: string, condition: () => T | Promise<T>, deadlineMs = 10_000): Promise<NonNullable<T>> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== null && value !== false) return value;
    if (performance.now() > end) throw new Error(`expected ${what} within ${deadlineMs} ms`);
    await nextTurn();
  }
}

/** Rejects when `promise` has not settled within the deadline. */
export async function within<T>(what: string, promise: Promise<T>, deadlineMs = 10_000): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`expected ${what} within ${deadlineMs} ms`)), deadlineMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
