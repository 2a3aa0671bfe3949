/** Posts JSON to a webhook: bounded in time, without redirects, and without its address in any error. */
import { messageOf } from "../../core/errors.ts";
import { DeliveryError } from "../../ports/escalation-channel.ts";

const answerTimeoutMs = 10_000;
/** A server asks for patience, or fails; the others refuse the request for good. */
const passing: ReadonlySet<number> = new Set([408, 425, 429]);

export interface PostOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export async function postJson({ url, headers, body }: PostOptions, signal: AbortSignal): Promise<void> {
  const { host } = new URL(url);
  // Loaded when it is needed: it takes some memory.
  const { request } = await import("undici");
  let status: number;
  try {
    const answer = await request(url, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "holdfast", ...headers },
      body,
      headersTimeout: answerTimeoutMs,
      bodyTimeout: answerTimeoutMs,
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)]),
    });
    status = answer.statusCode;
    await answer.body.dump({ limit: 16_384 });
  } catch (error) {
    throw new DeliveryError(`expected ${host} to take a notice, found ${messageOf(withoutAddress(error, url), 200)}`, { cause: error });
  }
  if (status >= 200 && status < 300) return;
  const isPermanent = status < 500 && !passing.has(status);
  throw new DeliveryError(
    `expected ${host} to take a notice, found HTTP status ${status}${isPermanent ? "; correct the channel's url, secret or headers" : ""}`,
    {
      isPermanent,
    },
  );
}

function withoutAddress(error: unknown, url: string): unknown {
  return error instanceof Error ? new Error(error.message.replaceAll(url, "the webhook")) : error;
}
