/** A load as a file: what arrives, and when. `profiles` holds some. */
import { z } from "zod";
import { readJsonFile } from "../read-json-file.ts";
import { type Arrivals, arrivalsSchema } from "./arrivals.ts";
import type { Sizes, Spread } from "./plain.ts";

const bytes = z.number().int().positive();
const spread = z.strictObject({ count: z.number().int().min(1).max(1_000_000), zipf: z.number().min(0).max(5).default(0) });
const isRising = ({ leastBytes, mostBytes }: { readonly leastBytes: number; readonly mostBytes: number }): boolean => leastBytes <= mostBytes;
const rising = { path: ["leastBytes"], message: "expected no more than mostBytes" };
const share = z.number().min(0).max(0.9).default(0);

export interface Profile {
  /** For whoever reads it. */
  readonly about: string;
  readonly seed: number;
  readonly events: number;
  /** An open loop, or as many under way at a time as `inFlight` says. */
  readonly arrivals: Arrivals | { readonly kind: "closed"; readonly inFlight: number };
  /** Weights of event types. */
  readonly eventTypes: Readonly<Record<string, number>>;
  readonly sizes: Sizes;
  readonly keys: Spread;
  readonly tenants: Spread;
  readonly duplicates: number;
  readonly poison: number;
}

const profileSchema: z.ZodType<Profile> = z.strictObject({
  about: z.string().min(1),
  seed: z.number().int().min(0).default(1),
  events: z.number().int().min(1),
  arrivals: z.union([arrivalsSchema, z.strictObject({ kind: z.literal("closed"), inFlight: z.number().int().min(1) })]),
  eventTypes: z.record(z.string().min(1), z.number().min(0)).refine((types) => Object.values(types).some((weight) => weight > 0), "expected a weight above 0"),
  sizes: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("fixed"), bytes }),
    z.strictObject({ kind: z.literal("between"), leastBytes: bytes, mostBytes: bytes }).refine(isRising, rising),
    z.strictObject({ kind: z.literal("skewed"), leastBytes: bytes, mostBytes: bytes }).refine(isRising, rising),
    z.strictObject({ kind: z.literal("webhooks"), bytesMax: bytes.default(32_768) }),
  ]),
  keys: spread.default({ count: 1, zipf: 0 }),
  tenants: spread.default({ count: 1, zipf: 0 }),
  duplicates: share,
  poison: share,
});

export function readProfile(file: string): Profile {
  return readJsonFile(file, profileSchema);
}
