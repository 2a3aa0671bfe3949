/** What people, or other workers, get to know when failures become too many or too grave. */
import type { DeathClass } from "./death.ts";
import type { Lineage } from "./lineage.ts";

/** What rules look at of a failure. */
export type EscalationPart = "failureClass" | "code" | "eventType" | "skill" | "tenant" | "project";

export const escalationParts: readonly EscalationPart[] = ["failureClass", "code", "eventType", "skill", "tenant", "project"];

/** `failure`: each execution that fails, and each message that is refused. `dead-letter`: each message that is given up. */
export type EscalationCause = "failure" | "dead-letter";

export interface EscalationRule {
  readonly name: string;
  readonly on: EscalationCause;
  /** One value of each part that is named must be the failure's; one that ends with `*` stands for all that begin so. */
  readonly when: { readonly [P in EscalationPart]?: readonly string[] | undefined };
  /** Whether it is for critical projects alone, or for all others alone; undefined for both. */
  readonly critical: boolean | undefined;
  /** What is counted apart: two failures are of one count when they agree in these. */
  readonly by: readonly EscalationPart[];
  /** At the `count`th within `windowMs` it escalates. */
  readonly threshold: { readonly count: number; readonly windowMs: number };
  /** Names of channels. */
  readonly to: readonly string[];
  /** What is of one count is escalated once in this time. */
  readonly repeatAfterMs: number;
}

/** One failure, as rules see it. Texts are empty where nothing is known. */
export type Occurrence = { readonly on: EscalationCause } & { readonly [P in EscalationPart]: string };

/** What a channel is given. */
export interface EscalationNotice extends Lineage {
  /** The same for all channels and tries of one escalation. */
  readonly id: string;
  readonly rule: string;
  /** What was counted apart, such as `project=shop`; empty when all is counted together. */
  readonly counted: string;
  readonly critical: boolean;
  /** Failures within the window, the last one included, and those since the last escalation of the same count. */
  readonly count: number;
  readonly windowMs: number;
  readonly sinceLast: number;
  readonly consumer: string;
  readonly worker: string;
  /** ISO 8601. */
  readonly timestamp: string;
  /** Of the last failure. */
  readonly eventId: string;
  readonly eventType: string;
  readonly skill: string;
  readonly attempt: number;
  readonly failureClass: DeathClass;
  readonly code: string;
  readonly step: string;
  readonly description: string;
}

/** In one line. */
export function escalationTitle({ rule, count, windowMs, counted, code, skill, critical }: EscalationNotice): string {
  const many = count === 1 ? "1 failure" : `${count} failures within ${Math.ceil(windowMs / 1_000)} s`;
  const where = [counted, skill === "" ? "" : `skill ${skill}`].filter((text) => text !== "").join(", ");
  return `${critical ? "[critical] " : ""}${rule}: ${many}${where === "" ? "" : ` (${where})`}, the last one ${code}`;
}
