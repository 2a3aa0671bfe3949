/** What can be wrong with a connection between two processes. */
import { z } from "zod";

const ms = z.number().min(0).max(600_000);
const bytes = z.number().int().min(1);
const common = {
  /** Of the bytes that are on their way to the server, to the client, or of both. Without a meaning for `down`, `refused` and `reset`. */
  direction: z.enum(["to-server", "to-client", "both"]).default("both"),
  /** Of connections, that it is wrong with; which ones is drawn from the seed of the proxy. */
  share: z.number().min(0).max(1).default(1),
};

export const toxicSchema = z.discriminatedUnion("kind", [
  /** Everything arrives later by `latencyMs`, and by up to `jitterMs` more or less; in order all the same. */
  z.strictObject({ kind: z.literal("latency"), latencyMs: ms, jitterMs: ms.default(0), ...common }),
  /** Nobody listens, and the connections that there were are closed. */
  z.strictObject({ kind: z.literal("down"), ...common }),
  /** Nobody listens; the connections that there are go on. */
  z.strictObject({ kind: z.literal("refused"), ...common }),
  z.strictObject({ kind: z.literal("bandwidth"), bytesPerSecond: bytes, ...common }),
  /** That one side has closed is known to the other later. */
  z.strictObject({ kind: z.literal("slow-close"), delayMs: ms, ...common }),
  /**
   * Nothing arrives, and nobody is told. It arrives when this ends, as after a partition; with `forGood` the connections that
   * it met stay silent, as behind a firewall that has forgotten them.
   */
  z.strictObject({ kind: z.literal("black-hole"), forGood: z.boolean().default(false), ...common }),
  /** Connections are reset after `afterMs`: those that there are, and each new one. */
  z.strictObject({ kind: z.literal("reset"), afterMs: ms.default(0), ...common }),
  /** What was sent in one piece arrives in pieces of so many bytes, with a pause after each. */
  z.strictObject({ kind: z.literal("slicing"), bytes, delayMs: ms.default(0), ...common }),
  /** A connection is closed once so many bytes have passed. */
  z.strictObject({ kind: z.literal("limited-data"), bytes, ...common }),
]);

export type Toxic = z.infer<typeof toxicSchema>;
/** As it is written: what has a default may be left out. */
export type ToxicInput = z.input<typeof toxicSchema>;
export type Direction = "to-server" | "to-client";

export function isInDirection(toxic: Toxic, direction: Direction): boolean {
  return toxic.direction === "both" || toxic.direction === direction;
}
