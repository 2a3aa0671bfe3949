/**
 * A webhook that takes the notice as JSON. `x-holdfast-signature` is `sha256=` and the HMAC-SHA256, in hexadecimal, of the time in
 * `x-holdfast-timestamp` (Unix seconds), a point and the body, with the channel's secret: who receives it computes the same, and
 * refuses what is old.
 */
import { createHmac } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { reveal, type SecretText } from "../../core/secret.ts";
import type { ChannelCheck, EscalationChannel } from "../../ports/escalation-channel.ts";
import { postJson } from "./post-json.ts";

export interface WebhookChannelOptions {
  readonly url: SecretText;
  readonly secret?: SecretText | undefined;
  readonly headers?: ReadonlyMap<string, SecretText> | undefined;
  readonly clock: Pick<Clock, "wallMs">;
}

export function signatureOf(secret: string, timestamp: string, body: string): string {
  return `sha256=${createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex")}`;
}

export function createWebhookChannel({ url, secret, headers = new Map<string, SecretText>(), clock }: WebhookChannelOptions): EscalationChannel {
  return {
    send(notice, signal) {
      const body = JSON.stringify({ type: "Escalation", ...notice });
      const timestamp = String(Math.floor(clock.wallMs() / 1_000));
      const signature: Readonly<Record<string, string>> = secret === undefined ? {} : { "x-holdfast-signature": signatureOf(reveal(secret), timestamp, body) };
      const own = { "idempotency-key": notice.id, "x-holdfast-timestamp": timestamp, ...signature };
      const given = Array.from(headers, ([name, value]) => [name, reveal(value)] as const);
      return postJson({ url: reveal(url), headers: { ...Object.fromEntries(given), ...own }, body }, signal);
    },
    check: () => Promise.resolve(checked),
  };
}

/** A webhook cannot be asked anything without sending it something; its URL was checked with the configuration. */
export const checked: ChannelCheck = { kind: "ok" };
