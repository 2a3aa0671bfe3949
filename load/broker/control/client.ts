// Asks the control endpoint of a broker that runs elsewhere.

/** The endpoint did not answer, or refused. */
export class ControlClientError extends Error {
  readonly code = "ControlClient";
}

/** How long an answer may take. */
const timeoutMs = 10_000;

/** @param url where the broker's control endpoint is, such as `http://127.0.0.1:5672` */
export async function askControl<T>(url: string, method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
  const init = { method, signal: AbortSignal.timeout(timeoutMs), ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  let response: Response;
  try {
    response = await fetch(new URL(path, url), init);
  } catch (error) {
    throw new ControlClientError(`expected a broker's control endpoint at ${url}, found none; start \`holdfast broker\` or say where it is with --control`, { cause: error });
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw new ControlClientError((answer as { error?: string } | undefined)?.error ?? `expected ${method} ${path} to succeed, found status ${response.status}`);
  return answer as T;
}
