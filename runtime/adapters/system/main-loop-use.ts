/** Begins to watch this thread's event loop; each call returns the part of its time that it was busy since the last one. */
export function watchMainLoopUse(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
