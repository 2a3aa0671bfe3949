/** Which thread gets the next task. What a thread holds fits its heap: a run keeps what its body was read as until it ends. */

/** Tasks a thread holds: one at work and one ready, so that it never waits for the main thread. */
export const tasksPerThread = 2;

/** A body of so many bytes goes to any thread: what it takes is not more than what a run takes without one. */
export const smallBodyBytes: number = 4 * 1024;

/**
 * Of a heap, what the bodies of its runs may have: a text of them is there while it is read, their values until their runs end, each of them up to twice
 * as large as its bytes; plugins and what nobody uses any more, but is not collected yet, take the rest.
 */
const bodiesPart = 1 / 8;

export function bodyBytesWithin(heapBytesMax: number | undefined): number {
  return heapBytesMax === undefined ? Number.POSITIVE_INFINITY : Math.floor(heapBytesMax * bodiesPart);
}

export interface TaskTaker {
  readonly isUsable: boolean;
  /** Tasks it holds. */
  readonly tasks: number;
  /** Runs it holds, and the bytes of their bodies. */
  readonly held: number;
  readonly heldBytes: number;
}

/** A body larger than what a thread may have goes to one that holds no run. */
export function fits(bytes: number, { held, heldBytes }: Pick<TaskTaker, "held" | "heldBytes">, bytesMax: number): boolean {
  return bytes <= smallBodyBytes || held === 0 || heldBytes + bytes <= bytesMax;
}

/** The thread with the least to do, if one has room for a task whose first body has so many bytes; and how many have nothing to do. */
export function freeThread<Thread extends TaskTaker>(
  threads: Iterable<Thread>,
  bytes: number,
  bytesMax: number,
): { readonly thread: Thread | undefined; readonly idle: number } {
  let thread: Thread | undefined;
  let idle = 0;
  for (const candidate of threads) {
    if (!candidate.isUsable || !fits(bytes, candidate, bytesMax)) continue;
    if (candidate.tasks === 0) idle += 1;
    if (candidate.tasks < (thread?.tasks ?? tasksPerThread)) thread = candidate;
  }
  return { thread, idle };
}
