/** What a promise resolves with, when it does so in time; undefined past it. Rejects as the promise does. */
export async function settledWithin<T>(promise: Promise<T>, timeoutMs: number): Promise<{ readonly value: T } | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  // What comes too late concerns nobody any more.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise.then((value) => ({ value })), late]);
  } finally {
    clearTimeout(timer);
  }
}
