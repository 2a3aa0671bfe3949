/** What a dependency may be asked for in a minute, by whom. */

export const limitScopes = ["tenant", "project", "skill"] as const;

/** Whose requests are counted together. Without one, all of them are. */
export type LimitScope = (typeof limitScopes)[number];

/** One limit of a dependency, over the whole pool of workers: at least one of `requestsPerMinute` and `tokensPerMinute`. */
export interface LimitPolicy {
  /** Each value has the whole limit to itself; events that name no tenant share one. */
  readonly by?: LimitScope | undefined;
  /** Requests a minute, retries within a call included; 1 to 10 000 000. */
  readonly requestsPerMinute?: number | undefined;
  /** Tokens a minute, or whatever else the calls say they used; 1 to 1 000 000 000. */
  readonly tokensPerMinute?: number | undefined;
  /** How long the rate may be saved up while nothing is used, to be used at once; 0 to 60 000, default 5 000. */
  readonly burstMs?: number | undefined;
}

export const defaultBurstMs = 5_000;

/** What is limited. */
export type LimitUnit = "requests" | "tokens";

/** What a run has used, or may use, of one dependency. */
export interface Usage {
  readonly requests: number;
  readonly tokens: number;
}

/** What a run may use of a dependency without asking for more. */
export interface Allowance extends Usage {
  /** Number of the dependency. */
  readonly dependency: number;
}

/** What is wrong with the limits of a dependency beside each other; undefined for nothing. */
export function limitsProblem(limits: readonly LimitPolicy[]): { readonly expected: string; readonly got: string } | undefined {
  const empty = limits.findIndex(({ requestsPerMinute, tokensPerMinute }) => requestsPerMinute === undefined && tokensPerMinute === undefined);
  if (empty >= 0) return { expected: "requestsPerMinute or tokensPerMinute in each limit", got: `neither in number ${empty + 1}` };
  const twice = limits.find(({ by }, index) => limits.findIndex((other) => other.by === by) < index);
  if (twice === undefined) return undefined;
  return { expected: "one limit for each value of by", got: `two ${twice.by === undefined ? "without by" : `by '${twice.by}'`}` };
}

/** Failure code of a call for which the limit had nothing left in time: it was not made. */
export const rateLimitedCode = "RATE_LIMITED";
