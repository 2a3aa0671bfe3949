/**
 * What a record keeps of claims that ended without success, the oldest first: it is written with the write that ends the claim, so a run
 * that goes well keeps none, and costs nothing.
 */
export interface Setback {
  /** By the store's clock. */
  readonly atMs: number;
  /** `failed` and `postponed` runs return later; `returned`: the message went back to the queue; `dropped`: its lock was lost. */
  readonly kind: "failed" | "postponed" | "given-up" | "returned" | "dropped";
  /** A code, a reason, or what it was postponed for; empty for none. */
  readonly why: string;
  readonly description: string;
  /** The execution it is about; 0 when none had begun. */
  readonly attempt: number;
  /** That execution counts for one, though its message went back. */
  readonly counts?: boolean;
  /** Until it returns; 0 where that is not known. */
  readonly delayMs: number;
  readonly worker: string;
  /** In lanes. */
  readonly waitedMs: number;
  /** What it waited for last; empty for nothing, or where that is not known. */
  readonly waitedFor: string;
  readonly renewals: number;
  /** How the calls of its last execution went, such as `mailer failed`. */
  readonly calls: readonly string[];
  /** Of a run that is given up: what its calls were answered, by dependency, base64; see `skills/host/call-answers.ts`. */
  readonly answers?: Readonly<Record<string, string>>;
}

/** Of these a record keeps the last ones. */
export const setbacksMax = 20;

/** As it is stored: the store puts its time in. */
export function encodeSetback(setback: Omit<Setback, "atMs">): string {
  return JSON.stringify(setback);
}

/** What cannot be read is left out. */
export function decodeSetbacks(texts: readonly string[]): readonly Setback[] {
  return texts.flatMap((text) => {
    try {
      // Those of earlier versions do not say what they waited for.
      return [{ waitedFor: "", ...(JSON.parse(text) as Omit<Setback, "waitedFor">) }];
    } catch {
      return [];
    }
  });
}
