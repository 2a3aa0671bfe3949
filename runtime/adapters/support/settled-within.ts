import { startAnswerTimer } from "./answer-timer.ts";

/** What a promise resolves with, when it does so in time; undefined past it. Rejects as the promise does. */
export function settledWithin<T>(promise: Promise<T>, timeoutMs: number): Promise<{ readonly value: T } | undefined> {
  return settledBefore(promise, (late) => {
    const timer = setTimeout(late, timeoutMs);
    return () => clearTimeout(timer);
  });
}

/** As `settledWithin`, of what a peer answers: time in which this process itself stood still hardly counts; see `startAnswerTimer`. */
export function answeredWithin<T>(promise: Promise<T>, timeoutMs: number): Promise<{ readonly value: T } | undefined> {
  return settledBefore(promise, (late) => startAnswerTimer(timeoutMs, late));
}

async function settledBefore<T>(promise: Promise<T>, startTimer: (late: () => void) => () => void): Promise<{ readonly value: T } | undefined> {
  const late = Promise.withResolvers<undefined>();
  const stopTimer = startTimer(() => late.resolve(undefined));
  try {
    // What is rejected too late concerns nobody any more: the race has taken it.
    return await Promise.race([promise.then((value) => ({ value })), late.promise]);
  } finally {
    stopTimer();
  }
}
