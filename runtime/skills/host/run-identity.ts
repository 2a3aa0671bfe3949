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

const traceIdPattern = /^[0-9a-f]{32}$/;

/** A W3C `traceparent` for a call: the event's trace id where it is one, else one derived from it. */
export function traceparentOf(traceId: string, spanKey: string): string {
  const trace = traceIdPattern.test(traceId) ? traceId : hash("sha256", traceId, "hex").slice(0, 32);
  return `00-${trace}-${spanKey.slice(0, 16)}-01`;
}

/** The span of one try of a call. */
export function deriveSpan(callKey: string, attempt: number): string {
  return hash("sha256", `${callKey}#${attempt}`, "hex").slice(0, 16);
}
