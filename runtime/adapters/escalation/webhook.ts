/**
 * A webhook that takes the notice as JSON. `x-holdfast-signature` is `sha256=` and the HMAC-SHA256, in hexadecimal, of the time in
 * `x-holdfast-timestamp` (Unix seconds), a point and the body, with the channel's secret: who receives it computes the same, and
 * refuses what is old.
 */
import { createHmac } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import type { ChannelCheck, EscalationChannel } from "../../ports/escalation-channel.ts";
import { postJson } from "./post-json.ts";

export interface WebhookChannelOptions {
  readonly url: string;
  readonly secret?: string | undefined;
  readonly headers?: ReadonlyMap<string, string> | undefined;
  readonly clock: Pick<Clock, "wallMs">;
}

export function signatureOf(secret: string, timestamp: string, body: string): string {
  return `sha256=${createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex")}`;
}

export function createWebhookChannel({ url, secret, headers = new Map(), clock }: WebhookChannelOptions): EscalationChannel {
  return {
    send(notice, signal) {
      const body = JSON.stringify({ type: "Escalation", ...notice });
      const timestamp = String(Math.floor(clock.wallMs() / 1_000));
      const signature: Readonly<Record<string, string>> = secret === undefined ? {} : { "x-holdfast-signature": signatureOf(secret, timestamp, body) };
      const own = { "idempotency-key": notice.id, "x-holdfast-timestamp": timestamp, ...signature };
      return postJson({ url, headers: { ...Object.fromEntries(headers), ...own }, body }, signal);
    },
    check: () => Promise.resolve(checked),
  };
}

/** A webhook cannot be asked anything without sending it something; its URL was checked with the configuration. */
export const checked: ChannelCheck = { kind: "ok" };
