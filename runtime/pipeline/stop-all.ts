export const nothingToStart: Stoppable & { start(): Promise<void> } = { start: () => Promise.resolve(), stop: () => Promise.resolve() };

export interface Stoppable {
  stop(): Promise<void>;
}

/** Stops each, one after the other, also when one cannot; rejects with what went wrong first. */
export async function stopAll(parts: readonly Stoppable[]): Promise<void> {
  const errors: unknown[] = [];
  for (const part of parts) await part.stop().catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}
