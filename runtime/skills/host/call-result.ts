import { failureClassOf } from "../../core/failure-class.ts";
import { rateLimitedCode } from "../../core/limits.ts";
import type { CallResult } from "../../core/outcome.ts";
import type { SkillError } from "../author/errors.ts";
import type { CallLedger } from "./call-ledger.ts";
import { bulkheadFullCode, circuitOpenCode } from "./call-dependency.ts";
import type { PreparedDependency } from "./prepared-skill.ts";

/** Of calls that were never made. */
const unmadeCodes: ReadonlySet<string> = new Set([circuitOpenCode, bulkheadFullCode, rateLimitedCode]);

/** What a call says of its dependency. A clear refusal is an answer; a call that was never made is none. */
function callResultOf(error: SkillError | undefined, { counts, slowCallMs }: PreparedDependency["circuit"], tookMs: number): CallResult | undefined {
  if (error !== undefined && unmadeCodes.has(error.code)) return undefined;
  const failureClass = error === undefined ? undefined : failureClassOf(error.code, error.retryable);
  if (failureClass !== undefined && counts.includes(failureClass)) return "failed";
  if (slowCallMs > 0 && tookMs >= slowCallMs) return "slow";
  return failureClass === undefined || failureClass === "permanent" ? "succeeded" : undefined;
}

/** A call was answered, or failed, after so long. */
export function endCall(ledger: CallLedger, { name, circuit, isTimed }: PreparedDependency, error: SkillError | undefined, tookMs: number): void {
  const result = callResultOf(error, circuit, tookMs);
  if (isTimed && result !== undefined) ledger.took(name, tookMs);
  ledger.end(name, result);
}
