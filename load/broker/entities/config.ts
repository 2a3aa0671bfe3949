// Entities as a configuration describes them: our own short form, or the vendor's emulator file as it is.
import { BrokerConfigError, type Check, checkKeys, type Fields, fieldsOf, flag, listOf, nameOf, positive, status, text, whole } from "./config-checks.ts";
import type { EntitiesConfig, SubscriptionConfig, TopicConfig } from "./entities-config.ts";
import { vendorEntities } from "./vendor-config.ts";
import { ownRule } from "./vendor-rules.ts";

/**
 * Reads a configuration.
 *
 * @param input `{ queues: [name | { name, lockDurationMs, … }], topics: [{ name, subscriptions: […] }] }`, or the vendor's
 * `{ UserConfig: { Namespaces: [{ Queues, Topics }] } }`
 * @throws BrokerConfigError for unknown keys, wrong types and impossible combinations
 */
export function readEntities(input: unknown): EntitiesConfig {
  const root = fieldsOf("configuration", input);
  const config = "UserConfig" in root ? vendorEntities(root) : ownEntities(root);
  checkNames(config);
  checkForwarding(config);
  return config;
}

const topicKeys: ReadonlyMap<string, Check> = new Map([
  ["timeToLiveMs", positive],
  ["requiresDuplicateDetection", flag],
  ["duplicateWindowMs", positive],
  ["messageBytesMax", whole],
  ["sizeMegabytesMax", positive],
  ["autoDeleteOnIdleMs", positive],
  ["status", status],
]);

const queueKeys: ReadonlyMap<string, Check> = new Map([
  ...topicKeys,
  ["lockDurationMs", positive],
  ["deliveryCountMax", whole],
  ["deadLetterOnExpiry", flag],
  ["requiresSession", flag],
  ["forwardTo", text],
  ["forwardDeadLettersTo", text],
]);

function ownEntities(root: Fields): EntitiesConfig {
  checkKeys("configuration", root, ["queues", "topics", "UserConfig"]);
  return {
    queues: listOf("queues", root["queues"]).map((item, i) => ownEntity(`queues[${i}]`, item, queueKeys)),
    topics: listOf("topics", root["topics"]).map((item, i) => ownTopic(`topics[${i}]`, item)),
  };
}

function ownTopic(where: string, item: unknown): TopicConfig {
  const fields = typeof item === "string" ? { name: item } : fieldsOf(where, item);
  const { subscriptions, ...rest } = fields as Fields & { subscriptions?: unknown };
  const list = listOf(`${where}.subscriptions`, subscriptions);
  return {
    ...ownEntity(where, rest, topicKeys),
    subscriptions: list.map((subscription, i) => ownSubscription(`${where}.subscriptions[${i}]`, subscription)),
  };
}

function ownSubscription(where: string, item: unknown): SubscriptionConfig {
  const { rules, ...rest } = (typeof item === "string" ? { name: item } : fieldsOf(where, item)) as Fields & { rules?: unknown };
  const subscription = ownEntity(where, rest, queueKeys);
  return rules === undefined
    ? subscription
    : { ...subscription, rules: listOf(`${where}.rules`, rules).map((rule, i) => ownRule(`${where}.rules[${i}]`, rule)) };
}

function ownEntity(where: string, item: unknown, keys: ReadonlyMap<string, Check>): { name: string } {
  const { name, ...rest } = typeof item === "string" ? { name: item } : fieldsOf(where, item);
  const settings = Object.entries(rest).map(([key, value]) => {
    const check = keys.get(key);
    if (check === undefined) throw new BrokerConfigError(`${where}.${key}`, `one of name, ${[...keys.keys()].join(", ")}`, value);
    return [key, check(`${where}.${key}`, value)] as const;
  });
  return { ...Object.fromEntries(settings), name: nameOf(`${where}.name`, name) };
}

/** The second of two with one name would take the place of the first. */
function checkNames({ queues, topics }: EntitiesConfig): void {
  checkDistinct("", "queue and topic", [...queues, ...topics]);
  for (const { name: topic, subscriptions } of topics) {
    checkDistinct(`${topic}.`, "subscription", subscriptions);
    for (const { name, rules } of subscriptions) checkDistinct(`${topic}.${name}.`, "rule", rules ?? []);
  }
}

function checkDistinct(where: string, what: string, all: readonly { readonly name: string }[]): void {
  const known = new Set<string>();
  for (const { name } of all) {
    if (known.has(name.toLowerCase())) throw new BrokerConfigError(`${where}${name}`, `each ${what} to have a name of its own`, name);
    known.add(name.toLowerCase());
  }
}

function checkForwarding(config: EntitiesConfig): void {
  const known = new Set([...config.queues, ...config.topics].map(({ name }) => name.toLowerCase()));
  for (const source of [...config.queues, ...config.topics.flatMap((topic) => topic.subscriptions)]) {
    for (const key of ["forwardTo", "forwardDeadLettersTo"] as const) {
      const target = source[key];
      if (target !== undefined && !known.has(target.toLowerCase()))
        throw new BrokerConfigError(`${source.name}.${key}`, "a queue or topic of this configuration", target);
    }
  }
  for (const { name, forwardTo, forwardDeadLettersTo } of config.queues)
    if ([forwardTo, forwardDeadLettersTo].some((target) => target?.toLowerCase() === name.toLowerCase()))
      throw new BrokerConfigError(`${name}.${forwardTo === undefined ? "forwardDeadLettersTo" : "forwardTo"}`, "another queue or topic than this one", name);
}
