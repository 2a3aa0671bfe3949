/** Who is let in at a door to the admin API, and how what went wrong there is told. */
import { hash } from "node:crypto";
import type { FastifyHttpOptions, FastifyRequest } from "fastify";
import type { Server } from "node:http";
import type { AdminAuthSettings } from "../core/config/admin.ts";
import { messageOf } from "../core/errors.ts";
import { type Authenticator, type Caller, openToAll, TokenAuthenticator } from "./authenticator.ts";
import { Pace } from "./pace.ts";
import { Problem } from "./problem.ts";

export const bodyBytesMax: number = 64 * 1024;
/** How long a connection may be kept open without use, by callers that have shown no token yet, too. */
export interface DoorTimes {
  /** A request may take so long to arrive. */
  readonly arrivesWithinMs: number;
  /** A connection may stand still for so long: nothing is taken of an answer, or none is there yet. */
  readonly stillMaxMs: number;
}

const doorTimes: DoorTimes = { arrivesWithinMs: 30_000, stillMaxMs: 300_000 };
/** How often requests that have not arrived are looked for. */
const lookEveryMs = 5_000;

/** What is the same for every door. */
export function doorOptions({ arrivesWithinMs, stillMaxMs }: DoorTimes = doorTimes): FastifyHttpOptions<Server> {
  return {
    logger: false,
    bodyLimit: bodyBytesMax,
    requestTimeout: arrivesWithinMs,
    connectionTimeout: stillMaxMs,
    // Of the two times, Node takes the longer one for a request as a whole.
    http: { headersTimeout: arrivesWithinMs, connectionsCheckingInterval: Math.min(arrivesWithinMs, lookEveryMs) },
    forceCloseConnections: true,
  };
}

/** How often one token may be wrong in a minute at one address: a program that goes on with one that has ended hinders nobody else. */
const sameTokenPerMinute = 30;
/** Wrong tokens of one address in a minute: behind a proxy, or within a cluster, many have the same. */
const wrongTokensPerMinute = 600;
/** Tokens that were good lately are remembered. */
const goodTokensMax = 1_000;

export class Gate {
  readonly #authenticator: Authenticator;
  readonly #sameTokens: Pace;
  readonly #wrongTokens: Pace;
  /** By their hashes; the last one last. */
  readonly #goodTokens = new Set<string>();

  constructor(auth: AdminAuthSettings | undefined, monotonicMs: () => number) {
    this.#authenticator = auth === undefined ? openToAll : new TokenAuthenticator(auth);
    this.#sameTokens = new Pace(sameTokenPerMinute, monotonicMs);
    this.#wrongTokens = new Pace(wrongTokensPerMinute, monotonicMs);
  }

  /** A token that keeps being wrong is not looked at for a while, nor is an address that shows ever other ones, but for those that were good. */
  async callerOf({ ip, headers: { authorization } }: Pick<FastifyRequest, "ip" | "headers">): Promise<Caller> {
    const token = hash("sha256", authorization ?? "", "base64url");
    const tokenThere = `${ip} ${token}`;
    this.#sameTokens.check(tokenThere);
    if (!this.#goodTokens.has(token)) this.#wrongTokens.check(ip);
    try {
      const caller = await this.#authenticator.callerOf(authorization);
      this.#remember(token);
      return caller;
    } catch (error) {
      if (!(error instanceof Problem) || error.kind !== "bad-token") throw error;
      this.#goodTokens.delete(token);
      this.#sameTokens.take(tokenThere);
      this.#wrongTokens.take(ip);
      throw error;
    }
  }

  #remember(token: string): void {
    this.#goodTokens.delete(token);
    this.#goodTokens.add(token);
    const [oldest] = this.#goodTokens;
    if (this.#goodTokens.size > goodTokensMax && oldest !== undefined) this.#goodTokens.delete(oldest);
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
