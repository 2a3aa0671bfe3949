// How an entity that requires sessions is read.
import { z } from "zod";
import { hourMs, integer } from "./fields.ts";

/**
 * What becomes of a session when a message of it fails.
 * - `block`: it waits, with growing pauses, until the message passes: nothing behind it goes before.
 * - `skip`: the message is dead-lettered when its attempts are used up, or at once when no attempt can mend it, and the session goes on.
 */
export type SessionFailure = "block" | "skip";

/** The entity requires sessions: each is worked one message at a time, in the order of the queue. */
export interface SessionsConfig {
  /** Sessions worked at once; 1 to 1 000, default 16. */
  readonly concurrentMax?: number | undefined;
  /** A session that brings nothing for so long is let go; sooner when others wait for its place. 0 to 3 600 000, default 1 000. */
  readonly idleMs?: number | undefined;
  /** After so long a session gives way, when others wait; 1 to 3 600 000, default 10 000. */
  readonly turnMs?: number | undefined;
  /** Default `block`. */
  readonly onFailure?: SessionFailure | undefined;
}

export interface SessionsSettings {
  readonly concurrentMax: number;
  readonly idleMs: number;
  readonly turnMs: number;
  readonly onFailure: SessionFailure;
}

export const sessionsSchema: z.ZodType<SessionsSettings, SessionsConfig> = z.strictObject({
  concurrentMax: integer(1, 1_000).default(16),
  idleMs: integer(0, hourMs).default(1_000),
  turnMs: integer(1, hourMs).default(10_000),
  onFailure: z.enum(["block", "skip"]).default("block"),
});
