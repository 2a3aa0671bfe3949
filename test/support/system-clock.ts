import type { Clock } from "#runtime/core/clock.ts";

/** The system's time, as the runtime sees it. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (action) => void setImmediate(action),
};
