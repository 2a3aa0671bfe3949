/** What the clients of the bench are called. */
export const clientNames = ["engine", "rhea"] as const;

/** Receives and completes `count` messages with at most `credit` on their way. Resolves when the last is settled. */
export type Client = (port: number, count: number, credit: number) => Promise<void>;
