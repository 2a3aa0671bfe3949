/**
 * What a run may use of the dependencies that are limited, and what it has used. Within its allowance a call goes out at once; one
 * that needs more asks for it, and waits or is refused. Tokens count as estimated until the answer says what they were.
 */
import { type Allowance, type Usage, rateLimitedCode } from "../../core/limits.ts";
import type { CallReport } from "../../core/outcome.ts";
import type { CallOptions } from "../author/context.ts";
import { TransientError } from "../author/errors.ts";
import type { PreparedDependency, PreparedLimits } from "./prepared-skill.ts";

/** Asks the worker for more: 0 when the call may go on, else how long there will be nothing. */
export type AskForMore = (dependency: number, usage: Usage, waitMaxMs: number) => Promise<number>;

/** Asks for one try of a call, if need be. It rejects with a `TransientError` when there is nothing in time. */
export type AllowTry = (waitMaxMs: number) => Promise<void> | undefined;

interface Account {
  readonly left: { requests: number; tokens: number };
  readonly used: { requests: number; tokens: number };
}

/** One call from its first try to its end. */
export interface MeteredCall {
  readonly allow: AllowTry;
  /** It was answered. */
  answered(response: unknown): void;
  /** It failed; `definite`: for certain nothing happened. */
  failed(definite: boolean): void;
}

function tokensIn(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? Math.ceil(value) : undefined;
}

/** What an author's function makes of a request or a response; nothing of use when it throws or answers anything but a number of 0 or more. */
function read(from: ((value: never) => number) | undefined, value: unknown): number | undefined {
  try {
    return tokensIn(from?.(value as never));
  } catch {
    return undefined;
  }
}

function estimateOf({ estimatedTokens }: PreparedLimits, request: unknown, options: CallOptions<never> | undefined): number {
  const given = options?.estimatedTokens ?? estimatedTokens;
  return (typeof given === "function" ? read(given, request) : tokensIn(given)) ?? 0;
}

export class UsageMeter {
  readonly #allowances: readonly Allowance[];
  readonly #ask: AskForMore;
  readonly #accounts = new Map<PreparedDependency, Account>();

  constructor(allowances: readonly Allowance[], ask: AskForMore) {
    this.#allowances = allowances;
    this.#ask = ask;
  }

  begin(dependency: PreparedDependency, limits: PreparedLimits, request: unknown, options: CallOptions<never> | undefined): MeteredCall {
    const { left, used } = this.#accountOf(dependency);
    const estimate = estimateOf(limits, request, options);
    /** Tokens that were taken for the present try, and are not accounted for. */
    let held = 0;
    const settle = (tokens: number): void => {
      left.tokens += held - tokens;
      used.tokens += tokens;
      held = 0;
    };
    return {
      allow: (waitMaxMs) => {
        // The try before it has used nothing that it said.
        settle(0);
        left.requests -= 1;
        left.tokens -= estimate;
        held = estimate;
        const missing = { requests: Math.max(0, -left.requests), tokens: Math.max(0, -left.tokens) };
        if (missing.requests === 0 && missing.tokens === 0) {
          used.requests += 1;
          return undefined;
        }
        // What is asked for is taken for granted by calls beside this one.
        left.requests += missing.requests;
        left.tokens += missing.tokens;
        return this.#ask(dependency.number, missing, waitMaxMs).then((afterMs) => {
          if (afterMs === 0) {
            used.requests += 1;
            return;
          }
          left.requests += 1 - missing.requests;
          left.tokens += held - missing.tokens;
          held = 0;
          throw refusal(dependency.name, afterMs);
        });
      },
      answered: (response) => settle(read(options?.tokensOf ?? limits.tokensOf, response) ?? held),
      failed: (definite) => settle(definite ? 0 : held),
    };
  }

  /** The same reports, with what was used of each dependency that is limited. */
  addTo(reports: readonly CallReport[]): readonly CallReport[] {
    const all = new Map(reports.map((report) => [report.dependency, report]));
    for (const [{ name }, { used }] of this.#accounts) all.set(name, { dependency: name, result: "unused", ...all.get(name), usage: used });
    return [...all.values()];
  }

  #accountOf(dependency: PreparedDependency): Account {
    const known = this.#accounts.get(dependency);
    if (known !== undefined) return known;
    const { requests = 0, tokens = 0 } = this.#allowances.find((allowance) => allowance.dependency === dependency.number) ?? {};
    const account = { left: { requests, tokens }, used: { requests: 0, tokens: 0 } };
    this.#accounts.set(dependency, account);
    return account;
  }
}

function refusal(dependency: string, retryAfterMs: number): TransientError {
  const message = `${dependency}: expected its limit to let the call pass in time, found nothing left for ${retryAfterMs} ms`;
  return new TransientError(message, { code: rateLimitedCode, dependency, retryAfterMs });
}
