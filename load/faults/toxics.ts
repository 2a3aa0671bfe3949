/** What can be wrong with a connection between two processes. */
import { z } from "zod";

interface Common {
  /** Of the bytes that are on their way to the server, to the client, or of both. Without a meaning for `down`, `refused` and `reset`. */
  readonly direction: Direction | "both";
  /** Of connections, that it is wrong with; which ones is drawn from the seed of the proxy. */
  readonly share: number;
}

export type Direction = "to-server" | "to-client";

export type Toxic = Common &
  (
    | /** Everything arrives later by `latencyMs`, and by up to `jitterMs` more or less; in order all the same. */
      { readonly kind: "latency"; readonly latencyMs: number; readonly jitterMs: number }
    /** Nobody listens, and the connections that there were are closed. */
    | { readonly kind: "down" }
    /** Nobody listens; the connections that there are go on. */
    | { readonly kind: "refused" }
    | { readonly kind: "bandwidth"; readonly bytesPerSecond: number }
    /** That one side has closed is known to the other later. */
    | { readonly kind: "slow-close"; readonly delayMs: number }
    /**
     * Nothing arrives, and nobody is told. It arrives when this ends, as after a partition; with `forGood` the connections that
     * it met stay silent, as behind a firewall that has forgotten them.
     */
    | { readonly kind: "black-hole"; readonly forGood: boolean }
    /** Connections are reset after `afterMs`: those that there are, and each new one. */
    | { readonly kind: "reset"; readonly afterMs: number }
    /** What was sent in one piece arrives in pieces of so many bytes, with a pause after each. */
    | { readonly kind: "slicing"; readonly bytes: number; readonly delayMs: number }
    /** A connection is closed once so many bytes have passed. */
    | { readonly kind: "limited-data"; readonly bytes: number }
  );

type WithDefault = keyof Common | "jitterMs" | "forGood" | "afterMs" | "delayMs";
type Written<One> = One extends unknown ? Omit<One, WithDefault> & Partial<Pick<One, Extract<keyof One, WithDefault>>> : never;
/** As it is written: what has a default may be left out. */
export type ToxicInput = Written<Toxic>;

const ms = z.number().min(0).max(600_000);
const bytes = z.number().int().min(1);
const common = {
  direction: z.enum(["to-server", "to-client", "both"]).default("both"),
  share: z.number().min(0).max(1).default(1),
};

export const toxicSchema: z.ZodType<Toxic> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("latency"), latencyMs: ms, jitterMs: ms.default(0), ...common }),
  z.strictObject({ kind: z.literal("down"), ...common }),
  z.strictObject({ kind: z.literal("refused"), ...common }),
  z.strictObject({ kind: z.literal("bandwidth"), bytesPerSecond: bytes, ...common }),
  z.strictObject({ kind: z.literal("slow-close"), delayMs: ms, ...common }),
  z.strictObject({ kind: z.literal("black-hole"), forGood: z.boolean().default(false), ...common }),
  z.strictObject({ kind: z.literal("reset"), afterMs: ms.default(0), ...common }),
  z.strictObject({ kind: z.literal("slicing"), bytes, delayMs: ms.default(0), ...common }),
  z.strictObject({ kind: z.literal("limited-data"), bytes, ...common }),
]);

export function isInDirection(toxic: Toxic, direction: Direction): boolean {
  return toxic.direction === "both" || toxic.direction === direction;
}
