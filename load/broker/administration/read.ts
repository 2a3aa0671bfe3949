// What the administration API tells.
import { byName } from "../entities/name-order.ts";
import type { Namespace } from "../entities/namespace.ts";
import { type Description, feedXml } from "./atom.ts";
import { type Answer, type Call, entry, hostOf, notFound } from "./call.ts";
import { describeNamespace, describeQueue, describeSubscription, describeTopic } from "./descriptions.ts";
import { describeRule } from "./rules.ts";

/** Entities of one page at most, and by default. */
const pageMax = 100;

const subscriptionsPattern = /^(.+)\/subscriptions$/;
const rulesPattern = /^(.+\/subscriptions\/[^/]+)\/rules$/;
const rulePattern = /^(.+\/subscriptions\/[^/]+)\/rules\/(.+)$/;

export function read(namespace: Namespace, call: Call): Answer {
  const path = call.path.toLowerCase();
  if (path === "$namespaceinfo") return entry(call, describeNamespace(namespace, hostOf(call.base).replace(/:\d+$/, "")));
  if (path === "$resources/queues")
    return page(
      call,
      byName(namespace.queues.values(), ({ path: name }) => name),
      (queue) => describeQueue(queue, call.base),
    );
  if (path === "$resources/topics")
    return page(
      call,
      byName(namespace.topics.values(), ({ path: name }) => name),
      describeTopic,
    );
  const listed = namespace.topics.get(subscriptionsPattern.exec(path)?.[1] ?? "");
  if (listed !== undefined)
    return page(
      call,
      byName(listed.subscriptions.values(), ({ name }) => name),
      (subscription) => describeSubscription(subscription, call.base),
    );
  const ruled = namespace.subscriptionAt(rulesPattern.exec(path)?.[1] ?? "");
  if (ruled !== undefined) return page(call, ruled.rules.all(), (rule) => describeRule(ruled.queue.path, rule));
  const description = describe(namespace, path, call.base);
  return description === undefined ? notFound(call) : entry(call, description);
}

function describe(namespace: Namespace, path: string, base: string): Description | undefined {
  const queue = namespace.queues.get(path);
  if (queue !== undefined) return describeQueue(queue, base);
  const topic = namespace.topics.get(path);
  if (topic !== undefined) return describeTopic(topic);
  const [, owner, name = ""] = rulePattern.exec(path) ?? [];
  if (owner !== undefined) {
    const of = namespace.subscriptionAt(owner);
    const rule = of?.rules.get(name);
    return of === undefined || rule === undefined ? undefined : describeRule(of.queue.path, rule);
  }
  const subscription = namespace.subscriptionAt(path);
  return subscription === undefined ? undefined : describeSubscription(subscription, base);
}

function page<T>(call: Call, items: readonly T[], describeItem: (item: T) => Description): Answer {
  const skip = wholeOf(call.query.get("$skip"), 0);
  const top = Math.max(1, Math.min(wholeOf(call.query.get("$top"), pageMax), pageMax));
  const next = skip + top < items.length ? `${call.path}?api-version=${call.query.get("api-version") ?? ""}&$skip=${skip + top}&$top=${top}` : undefined;
  return { status: 200, body: feedXml(call.base, call.path, items.slice(skip, skip + top).map(describeItem), next) };
}

function wholeOf(text: string | null, otherwise: number): number {
  const value = Number(text ?? "");
  return text !== null && Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}
