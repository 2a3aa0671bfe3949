/** What a check found, as `doctor` shows it and as `start` refuses to begin by it. */
import { HoldfastError, messageOf } from "../core/errors.ts";
import { redact } from "../core/redact.ts";

const answerTimeoutMs = 15_000;

/** `warning`: it keeps one of several sources from being read, and `start` goes on with the others; `unknown`: it could not be looked at, which is no proof of trouble. */
export type Verdict = "ok" | "warning" | "failed" | "unknown";

export interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly expected: string;
  readonly found: string;
  /** Empty when all is well. */
  readonly remedy: string;
  /** Of what failed: the source that it keeps from being read until somebody mends it at the broker; nothing else is wrong because of it. */
  readonly awaits?: string;
}

/** The worker was not started, for these checks failed. */
export class RefusedError extends HoldfastError {
  readonly findings: readonly Finding[];

  constructor(findings: readonly Finding[]) {
    const lines = findings.map((finding) => `  ${describeFinding(finding)}`);
    super("HOLDFAST_REFUSED", `the worker was not started; \`holdfast doctor\` shows the same:\n${lines.join("\n")}`);
    this.findings = findings;
  }
}

/** In one line, for a log or an error. */
export function describeFinding({ check, expected, found, remedy }: Finding): string {
  return `${check}: expected ${expected}, found ${found}${remedy === "" ? "" : `; ${remedy}`}`;
}

export function judged(check: string, good: boolean, expected: string, found: string, remedy: string): Finding {
  return { check, verdict: good ? "ok" : "failed", expected, found, remedy: good ? "" : remedy };
}

export function notChecked(check: string, expected: string, why: string, remedy: string): Finding {
  return { check, verdict: "unknown", expected, found: `not checked, because ${why}`, remedy };
}

/** What an error of an adapter says was found; a finding says itself what was expected, and what to do. */
export function foundIn(error: unknown): string {
  // What the broker said in its own words is its cause.
  const text = error instanceof HoldfastError ? redact(error.message) : messageOf(error);
  return /^expected .*?, found (.*)$/s.exec(text)?.[1]?.replace(/; [^;]*$/s, "") ?? text;
}

export async function withDeadline<T>(promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer came within ${answerTimeoutMs} ms`)), answerTimeoutMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
