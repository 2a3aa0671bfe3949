// Asks the control endpoint of a broker that runs elsewhere.
import { ControlClientError } from "./control-error.ts";
import { fetchAgain } from "./read.ts";
import type { ControlTarget } from "./target.ts";

/** How long an answer may take. */
const timeoutMs = 10_000;

/** @param target where the endpoint is, with what opens it */
export async function askControl<T>(target: ControlTarget | string, method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
  const { url, authorization } = typeof target === "string" ? { url: target, authorization: undefined } : target;
  const headers = authorization === undefined ? {} : { authorization };
  const init = { method, headers, signal: AbortSignal.timeout(timeoutMs), ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  let response: Response;
  try {
    response = await (method === "GET" ? fetchAgain : fetch)(new URL(path, url), init);
  } catch (error) {
    throw new ControlClientError(
      `expected a broker's control endpoint at ${url}, found none (${whyOf(error)}); start \`holdfast broker\`, or say where it is with --control`,
      { cause: error },
    );
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer as T;
  const told = (answer as { error?: string } | undefined)?.error;
  throw new ControlClientError(
    told ??
      `expected a broker's control endpoint at ${url}, found something else, which answered ${method} ${path} with status ${response.status}; say where the broker is with --control`,
  );
}

function whyOf(error: unknown): string {
  const { cause, message } = error as Error;
  if (!(cause instanceof Error)) return message;
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.message;
}
