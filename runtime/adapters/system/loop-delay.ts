import { monitorEventLoopDelay } from "node:perf_hooks";

/** How often Node looks at the loop. */
const resolutionMs = 20;

/** Begins to watch this thread's event loop; each call returns its longest delay since the last one, in milliseconds. */
export function watchLoopDelay(): () => number {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  return () => {
    // What is measured is the time from one look to the next.
    const longestMs = Math.max(0, histogram.max / 1_000_000 - resolutionMs);
    histogram.reset();
    return longestMs;
  };
}
