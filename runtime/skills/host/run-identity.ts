import { hash } from "node:crypto";

/** What makes a run the same run on any worker, at any time. */
export interface RunIdentity {
  readonly consumer: string;
  readonly eventId: string;
  readonly generation: number;
}

/** Characters of a derived key: 128 bits, in hexadecimal. */
const keyCharacters = 32;

/** A key that is the same whenever the same part of the same run is executed. */
export function deriveKey({ consumer, eventId, generation }: RunIdentity, ...parts: readonly (string | number)[]): string {
  return hash("sha256", JSON.stringify([consumer, eventId, generation, ...parts]), "hex").slice(0, keyCharacters);
}

const ofQuery = /^-query-\d+\.\d+/;

/**
 * What a call's key has beyond its step's own: nothing for the first call of a dependency, `-2` for its second, the fallback's name for one of a fallback,
 * and `?` for one of the step's query, whose keys are new at every try. It is the same at every execution of the same code.
 */
export function placeOfCall(idempotencyKey: string): string {
  return idempotencyKey.slice(keyCharacters).replace(ofQuery, "?");
}

/** Names one execution of a run, as no other one is named. */
export function executionOf({ source, eventId, generation, epoch, runId, attempt }: Execution): string {
  return `${source} ${eventId} ${generation}.${epoch}.${runId}.${attempt}`;
}

export interface Execution {
  readonly source: number;
  readonly eventId: string;
  readonly generation: number;
  readonly epoch: number;
  readonly runId: number;
  readonly attempt: number;
}

/** The span that stands for an execution. */
export function spanOfExecution(execution: Execution): string {
  return deriveSpan(executionOf(execution), 1);
}

/** The span of one try of what has this key: a call, an event that is emitted. */
export function deriveSpan(callKey: string, attempt: number): string {
  return hash("sha256", `${callKey}#${attempt}`, "hex").slice(0, 16);
}
