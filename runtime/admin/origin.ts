/**
 * Without tokens, whoever can have a browser of this machine call would be let in: by a name of his that leads to loopback, or from a
 * page of his. Both are refused.
 */
import type { FastifyRequest } from "fastify";
import { isLoopback } from "../core/config/admin.ts";
import { Problem } from "./problem.ts";

export function refuseOrigin({ headers, method, hostname }: FastifyRequest, needsToken: boolean): Problem | undefined {
  if (!needsToken && !isLoopback(hostname.replace(/^\[|\]$/g, "")))
    return new Problem("foreign-host", `expected a name of loopback as host, found '${hostname.slice(0, 100)}'`);
  const { origin, host } = headers;
  if (method !== "GET" && origin !== undefined && !isSameHost(origin, host))
    return new Problem("foreign-host", `expected no other origin than this server's, found '${origin.slice(0, 100)}'`);
  return undefined;
}

function isSameHost(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
