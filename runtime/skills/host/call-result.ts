import { failureClassOf } from "../../core/failure-class.ts";
import { rateLimitedCode } from "../../core/limits.ts";
import type { CallResult } from "../../core/outcome.ts";
import type { SkillError } from "../author/errors.ts";
import type { CallLedger } from "./call-ledger.ts";
import { bulkheadFullCode, circuitOpenCode } from "./call-dependency.ts";
import type { PreparedDependency } from "./prepared-skill.ts";

/** Of calls that were never made: nothing let them, or they could not be sent as they are. */
const unmadeCodes: ReadonlySet<string> = new Set([
  circuitOpenCode,
  bulkheadFullCode,
  rateLimitedCode,
  "CALL_INVALID",
  "REQUEST_INVALID",
  "UND_ERR_INVALID_ARG",
  "UND_ERR_NOT_SUPPORTED",
  "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
]);
/** Of tries that one of the call's own time-outs has ended: they would have taken longer. */
const timeoutCodes: ReadonlySet<string> = new Set(["CALL_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT", "TimeoutError"]);

function isSlow({ slowCallMs }: PreparedDependency["circuit"], tookMs: number): boolean {
  return slowCallMs > 0 && tookMs >= slowCallMs;
}

/** Whether how long a try took says how long the dependency takes: not of what was never sent, nor of what may have failed at once. */
function isTelling(error: SkillError | undefined, circuit: PreparedDependency["circuit"], tookMs: number): boolean {
  if (error === undefined) return true;
  if (unmadeCodes.has(error.code)) return false;
  if (timeoutCodes.has(error.code)) return !error.definite;
  return failureClassOf(error.code, error.retryable) === "permanent" || isSlow(circuit, tookMs);
}

/** What a call says of its dependency. A clear refusal is an answer; a call that was never made is none. */
function callResultOf(error: SkillError | undefined, circuit: PreparedDependency["circuit"], slowestMs: number): CallResult | undefined {
  if (error !== undefined && unmadeCodes.has(error.code)) return undefined;
  const failureClass = error === undefined ? undefined : failureClassOf(error.code, error.retryable);
  if (failureClass !== undefined && circuit.counts.includes(failureClass)) return "failed";
  if (isSlow(circuit, slowestMs)) return "slow";
  return failureClass === undefined || failureClass === "permanent" ? "succeeded" : undefined;
}

/** Hears one call from its first try to its end. What it waits for between its tries, or before them for a limit, is no time of its dependency's. */
export class HeardCall {
  readonly #ledger: CallLedger;
  readonly #dependency: PreparedDependency;
  #slowestMs = 0;

  constructor(ledger: CallLedger, dependency: PreparedDependency) {
    this.#ledger = ledger;
    this.#dependency = dependency;
    ledger.begin(dependency.name);
  }

  /** A try was answered, or failed, after so long. */
  tried(error: SkillError | undefined, tookMs: number): void {
    const { name, circuit } = this.#dependency;
    this.#slowestMs = Math.max(this.#slowestMs, tookMs);
    if (isTelling(error, circuit, tookMs)) this.#ledger.took(name, tookMs);
  }

  /** The call was answered, or failed for good. */
  ended(error: SkillError | undefined): void {
    const { name, circuit } = this.#dependency;
    this.#ledger.end(name, callResultOf(error, circuit, this.#slowestMs));
  }

  /** The run ended before it; that says nothing of its dependency. */
  left(): void {
    this.#ledger.end(this.#dependency.name, undefined);
  }
}
