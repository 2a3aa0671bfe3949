/** Who is let in at a door to the admin API, and how what went wrong there is told. */
import type { FastifyRequest } from "fastify";
import type { AdminAuthSettings } from "../core/config/admin.ts";
import { messageOf } from "../core/errors.ts";
import { type Authenticator, type Caller, openToAll, TokenAuthenticator } from "./authenticator.ts";
import { Pace } from "./pace.ts";
import { Problem } from "./problem.ts";

export const bodyBytesMax: number = 64 * 1024;
/** Tokens that one address may get wrong in a minute. */
const wrongTokensPerMinute = 30;

export class Gate {
  readonly #authenticator: Authenticator;
  readonly #wrongTokens: Pace;

  constructor(auth: AdminAuthSettings | undefined, monotonicMs: () => number) {
    this.#authenticator = auth === undefined ? openToAll : new TokenAuthenticator(auth);
    this.#wrongTokens = new Pace(wrongTokensPerMinute, monotonicMs);
  }

  /** An address that keeps getting tokens wrong is not listened to for a while. */
  async callerOf({ ip, headers }: Pick<FastifyRequest, "ip" | "headers">): Promise<Caller> {
    this.#wrongTokens.check(ip);
    try {
      return await this.#authenticator.callerOf(headers.authorization);
    } catch (error) {
      if (error instanceof Problem && error.kind === "bad-token") this.#wrongTokens.take(ip);
      throw error;
    }
  }
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const { statusCode } = error as { readonly statusCode?: unknown };
  if (statusCode === 413) return new Problem("too-large", `expected at most ${bodyBytesMax} bytes`);
  if (statusCode === 415) return new Problem("wrong-type", "expected a body of the type application/json");
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500) return new Problem("bad-request", messageOf(error, 200));
  const problem = new Problem("failed", "expected it to be carried out, found that it failed; the log of what answers here says more");
  problem.cause = error;
  return problem;
}
