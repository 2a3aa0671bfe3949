/** Of the time that a peer has, how many parts count apart. */
const parts = 20;

/** What a promise resolves with, when it does so in time; undefined past it. Rejects as the promise does. */
export function settledWithin<T>(promise: Promise<T>, timeoutMs: number): Promise<{ readonly value: T } | undefined> {
  return settledBefore(promise, (late) => {
    const timer = setTimeout(late, timeoutMs);
    return () => clearTimeout(timer);
  });
}

/**
 * As `settledWithin`, of what a peer answers: time in which this process itself stood still, with modules to load or without a
 * processor, counts as a twentieth of `timeoutMs` at most, for answers that came meanwhile could not be read.
 */
export function answeredWithin<T>(promise: Promise<T>, timeoutMs: number): Promise<{ readonly value: T } | undefined> {
  return settledBefore(promise, (late) => {
    let left = parts;
    const timer = setInterval(() => {
      left -= 1;
      if (left === 0) late();
    }, timeoutMs / parts);
    return () => clearInterval(timer);
  });
}

async function settledBefore<T>(promise: Promise<T>, startTimer: (late: () => void) => () => void): Promise<{ readonly value: T } | undefined> {
  const late = Promise.withResolvers<undefined>();
  const stopTimer = startTimer(() => late.resolve(undefined));
  // What comes too late concerns nobody any more.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise.then((value) => ({ value })), late.promise]);
  } finally {
    stopTimer();
  }
}
