/** Parts of a worker that are started and stopped. */
export interface Stoppable {
  stop(): Promise<void>;
}

export interface Startable extends Stoppable {
  start(): Promise<void>;
}

/** In place of a part that there is none of. */
export const nothingToStart: Startable = { start: () => Promise.resolve(), stop: () => Promise.resolve() };

/** Stops each, one after the other, also when one cannot; rejects with what went wrong first. */
export async function stopAll(parts: readonly Stoppable[]): Promise<void> {
  const errors: unknown[] = [];
  for (const part of parts) await part.stop().catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}
