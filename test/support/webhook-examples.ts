// The example webhook payloads, one by one.
import { createRequire } from "node:module";

export interface WebhookExample {
  readonly name: string;
  readonly event: Readonly<Record<string, unknown>>;
}

/** Every example of @octokit/webhooks-examples. */
export function webhookExamples(): WebhookExample[] {
  const groups = createRequire(import.meta.url)("@octokit/webhooks-examples") as readonly {
    readonly name: string;
    readonly examples: readonly WebhookExample["event"][];
  }[];
  return groups.flatMap(({ name, examples }) => examples.map((event) => ({ name, event })));
}
