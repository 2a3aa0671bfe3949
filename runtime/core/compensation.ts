/**
 * The log of a run's compensations. It lies among the steps of the run's record, so that one record says all of a run and the
 * same write, fenced by the same epoch, that stores steps stores it:
 *
 *   ~failed        the run has failed for good: why; from then on it is compensated and never run forward again
 *   ~undo:<step>   how far the compensation of that step is
 *
 * No step of a skill can have such a name.
 */
import { crc32 } from "node:zlib";
import type { DeathCause } from "./death.ts";
import type { StepRecord } from "./run.ts";

/** Why a run has failed for good, as it would have been dead-lettered. */
export interface Verdict {
  readonly reason: string;
  readonly description: string;
  readonly cause?: DeathCause | undefined;
  /** The run's failures and losses when it was written: what comes later are failures of compensating. */
  readonly failures: number;
  readonly losses: number;
}

export type Compensation =
  /** `begun` counts tries that were begun, `failed` those that are known to have failed. */
  | { readonly state: "trying"; readonly begun: number; readonly failed: number }
  /** `wasNeeded` is false where nothing had happened that could be compensated. */
  | { readonly state: "compensated"; readonly wasNeeded: boolean }
  | { readonly state: "not-compensated"; readonly code: string; readonly message: string };

const ownPrefix = "~";
const verdictName = "~failed";
const compensationPrefix = "~undo:";
/** Raised when what is written can no longer be read by the version before. */
const codec = 1;

function recordOf(name: string, value: unknown, state: StepRecord["state"]): StepRecord {
  const result = new TextEncoder().encode(JSON.stringify(value));
  return { name, kind: "keyed", state, result, checksum: crc32(result), codec, atMs: 0 };
}

function valueOf(record: StepRecord): unknown {
  if (record.codec !== codec || crc32(record.result) !== record.checksum) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(record.result)) as unknown;
  } catch {
    return undefined;
  }
}

/** Whether a record is the runtime's own and no step of the skill. */
export function isOwnRecord({ name }: Pick<StepRecord, "name">): boolean {
  return name.startsWith(ownPrefix);
}

export function encodeVerdict(verdict: Verdict): StepRecord {
  return recordOf(verdictName, verdict, "completed");
}

const unreadable: Verdict = { reason: "CompensationFailed", description: "why it failed cannot be read any more", failures: 0, losses: 0 };

/** Undefined of a run that has not failed for good. */
export function verdictOf(steps: readonly StepRecord[]): Verdict | undefined {
  const record = steps.find(({ name }) => name === verdictName);
  return record === undefined ? undefined : ((valueOf(record) as Verdict | undefined) ?? unreadable);
}

/** The step that a record is the compensation of; undefined of any other record. */
export function compensatedStepOf({ name }: Pick<StepRecord, "name">): string | undefined {
  return name.startsWith(compensationPrefix) ? name.slice(compensationPrefix.length) : undefined;
}

/** Undefined of any other record than that of a verdict. */
export function verdictAtMs(steps: readonly StepRecord[]): number | undefined {
  return steps.find(({ name }) => name === verdictName)?.atMs;
}

export function encodeCompensation(step: string, compensation: Compensation): StepRecord {
  return recordOf(`${compensationPrefix}${step}`, compensation, compensation.state === "trying" ? "intent" : "completed");
}

/** By the step that is compensated. One that cannot be read is started over, under the same key. */
export function compensationsOf(steps: readonly StepRecord[]): ReadonlyMap<string, Compensation> {
  const found = steps.flatMap((record) => {
    const value = record.name.startsWith(compensationPrefix) ? (valueOf(record) as Compensation | undefined) : undefined;
    return value === undefined ? [] : [[record.name.slice(compensationPrefix.length), value] as const];
  });
  return new Map(found);
}

/** How the compensation of a step has ended; undefined of any other record. */
export function compensationEnded(
  record: StepRecord,
): { readonly step: string; readonly outcome: "compensated" | "not-needed" | "failed"; readonly code: string } | undefined {
  const [[step, compensation] = []] = compensationsOf([record]);
  if (step === undefined || compensation === undefined) return undefined;
  switch (compensation.state) {
    case "trying":
      return undefined;
    case "compensated":
      return { step, outcome: compensation.wasNeeded ? "compensated" : "not-needed", code: "" };
    case "not-compensated":
      return { step, outcome: "failed", code: compensation.code };
  }
}
