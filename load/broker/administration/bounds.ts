// What is refused because it is beyond bounds: the service's, or the emulator's where the broker is held to those.
import { breachOf } from "../entities/setting-bounds.ts";
import type { Namespace } from "../entities/namespace.ts";
import type { Topic } from "../entities/topic.ts";
import type { RuleDescription } from "../filters/rules.ts";
import { type Answer, refuse } from "./call.ts";

export function refuseSettings(namespace: Namespace, settings: object): Answer | undefined {
  const breach = breachOf(settings, namespace.bounding);
  if (breach === undefined) return undefined;
  const { key, expected, found, refusal = "" } = breach;
  return refuse(400, `SubCode=40000. ${refusal} ${key}: expected ${expected}, found ${found}.`.replace(/\. {2}/, ". "));
}

export function refuseEntity({ queues, topics, bounds }: Namespace): Answer | undefined {
  return refuseMore(queues.size + topics.size, bounds.entitiesMax, "A namespace", "queues and topics");
}

export function refuseSubscription({ bounds }: Namespace, { subscriptions }: Topic): Answer | undefined {
  return refuseMore(subscriptions.size, bounds.subscriptionsMax, "A topic", "subscriptions");
}

/** @param path of the subscription */
export function refuseRule(namespace: Namespace, path: string, rule: RuleDescription): Answer | undefined {
  const trouble = namespace.ruleTrouble(path, rule);
  return trouble === undefined ? undefined : refuse(403, `SubCode=40300. Quota exceeded. ${trouble}`);
}

function refuseMore(count: number, max: number, whose: string, what: string): Answer | undefined {
  return count < max ? undefined : refuse(403, `SubCode=40300. Quota exceeded. ${whose} has at most ${max} ${what}.`);
}
