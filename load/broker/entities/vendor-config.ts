// Entities as the vendor's emulator has them in its Config.json. Its bounds hold only on request: tests need locks of a
// second, and messages that live for less.
import type { EntitiesConfig, SubscriptionConfig, TopicConfig } from "./entities-config.ts";
import { BrokerConfigError, type Check, type Fields, fieldsOf, flag, listOf, nameOf, text, whole } from "./config-checks.ts";
import { parseDuration } from "./durations.ts";
import { vendorRule } from "./vendor-rules.ts";

const duration: Check = (where, value) => durationMs(where, value);
const kilobytes: Check = (where, value) => Number(whole(where, value)) * 1024;
const maybeText: Check = (where, value) => (value === "" || value === null ? undefined : text(where, value));
const ignored: Check = () => undefined;

const vendorQueueKeys: Readonly<Record<string, readonly [string, Check]>> = {
  DeadLetteringOnMessageExpiration: ["deadLetterOnExpiry", flag],
  DefaultMessageTimeToLive: ["timeToLiveMs", duration],
  DuplicateDetectionHistoryTimeWindow: ["duplicateWindowMs", duration],
  ForwardTo: ["forwardTo", maybeText],
  ForwardDeadLetteredMessagesTo: ["forwardDeadLettersTo", maybeText],
  LockDuration: ["lockDurationMs", duration],
  MaxDeliveryCount: ["deliveryCountMax", whole],
  MaxMessageSizeInKilobytes: ["messageBytesMax", kilobytes],
  RequiresDuplicateDetection: ["requiresDuplicateDetection", flag],
  RequiresSession: ["requiresSession", flag],
};

const vendorTopicKeys: Readonly<Record<string, readonly [string, Check]>> = {
  DefaultMessageTimeToLive: ["timeToLiveMs", duration],
  DuplicateDetectionHistoryTimeWindow: ["duplicateWindowMs", duration],
  MaxMessageSizeInKilobytes: ["messageBytesMax", kilobytes],
  RequiresDuplicateDetection: ["requiresDuplicateDetection", flag],
  SupportOrdering: ["", ignored],
};

/** @param strict hold it to the emulator's own bounds */
export function vendorEntities(root: Fields, strict: boolean): EntitiesConfig {
  const user = fieldsOf("UserConfig", root["UserConfig"]);
  const namespaces = listOf("UserConfig.Namespaces", user["Namespaces"]);
  if (namespaces.length > 1) throw new BrokerConfigError("UserConfig.Namespaces", "one namespace", namespaces.length);
  const where = "UserConfig.Namespaces[0]";
  const namespace = fieldsOf(where, namespaces[0] ?? {});
  const queues = listOf(`${where}.Queues`, namespace["Queues"]).map((item, i) => vendorEntity(`${where}.Queues[${i}]`, item, vendorQueueKeys));
  const topics = listOf(`${where}.Topics`, namespace["Topics"]).map((item, i) => vendorTopic(`${where}.Topics[${i}]`, item));
  if (strict) checkBounds(where, { queues, topics });
  return { queues, topics };
}

function vendorTopic(where: string, item: unknown): TopicConfig {
  const fields = fieldsOf(where, item);
  const list = listOf(`${where}.Subscriptions`, fields["Subscriptions"]);
  return {
    ...vendorEntity(where, fields, vendorTopicKeys),
    subscriptions: list.map((subscription, i) => vendorSubscription(`${where}.Subscriptions[${i}]`, subscription)),
  };
}

function vendorSubscription(where: string, item: unknown): SubscriptionConfig {
  const fields = fieldsOf(where, item);
  const rules = listOf(`${where}.Rules`, fields["Rules"]).map((rule, i) => vendorRule(`${where}.Rules[${i}]`, rule));
  const subscription = vendorEntity(where, fields, vendorQueueKeys);
  return rules.length === 0 ? subscription : { ...subscription, rules };
}

function vendorEntity(where: string, item: unknown, keys: Readonly<Record<string, readonly [string, Check]>>): { name: string } {
  const fields = fieldsOf(where, item);
  const properties = fieldsOf(`${where}.Properties`, fields["Properties"] ?? {});
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(properties)) {
    const known = keys[key];
    if (known === undefined) throw new BrokerConfigError(`${where}.Properties.${key}`, `one of ${Object.keys(keys).join(", ")}`, value);
    const [name, check] = known;
    const checked = check(`${where}.Properties.${key}`, value);
    if (checked !== undefined) result[name] = checked;
  }
  return { ...result, name: nameOf(`${where}.Name`, fields["Name"]) };
}

function durationMs(where: string, value: unknown): number {
  const ms = typeof value === "string" ? parseDuration(value) : undefined;
  if (ms === undefined) throw new BrokerConfigError(where, "an ISO 8601 duration of days and time such as PT1M", value);
  if (ms <= 0) throw new BrokerConfigError(where, "a duration above zero", value);
  return ms;
}

// --- the emulator's bounds ---

const entitiesMax = 50;
const subscriptionsMax = 50;

/** Settings that are durations or counts, with their bounds. */
const bounds = {
  lockDurationMs: [1, 300_000],
  timeToLiveMs: [1, 3_600_000],
  duplicateWindowMs: [20_000, 300_000],
  deliveryCountMax: [1, 10],
  messageBytesMax: [1, 256 * 1024],
} as const;

function checkBounds(where: string, { queues, topics }: EntitiesConfig): void {
  if (queues.length + topics.length > entitiesMax) throw new BrokerConfigError(where, `at most ${entitiesMax} queues and topics`, queues.length + topics.length);
  for (const { name, subscriptions } of topics) {
    if (subscriptions.length > subscriptionsMax) throw new BrokerConfigError(name, `at most ${subscriptionsMax} subscriptions`, subscriptions.length);
  }
  for (const entity of [...queues, ...topics, ...topics.flatMap(({ subscriptions }) => subscriptions)]) {
    const settings = new Map<string, unknown>(Object.entries(entity));
    for (const [key, [min, max]] of Object.entries(bounds)) {
      const value = settings.get(key);
      if (typeof value === "number" && (value < min || value > max)) throw new BrokerConfigError(`${entity.name}.${key}`, `${min} to ${max}`, value);
    }
  }
}
