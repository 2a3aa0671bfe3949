import type { Clock } from "../core/clock.ts";

/** Resolves after `delayMs`, or at once when it is called off. */
export function pause(clock: Pick<Clock, "after">, delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.after(delayMs, end);
    signal.addEventListener("abort", end);
  });
}
