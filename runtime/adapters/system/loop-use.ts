/** Begins to watch this thread's event loop; each call returns the part of its time that it was busy since the last one. */
export function watchLoopUse(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const { utilization } = performance.eventLoopUtilization(last);
    last = performance.eventLoopUtilization();
    return utilization;
  };
}
