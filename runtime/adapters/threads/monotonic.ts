/** What each thread's `performance.now` lacks to the process's own monotonic clock: it counts from the thread's start. */
const originMs = hrtimeMs() - performance.now();

function hrtimeMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

/** Milliseconds on the one monotonic clock that all threads of a process share. */
export function monotonicMs(): number {
  return performance.now() + originMs;
}
