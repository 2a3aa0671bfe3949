// Entities as the vendor's emulator has them in its Config.json. Its bounds, in emulator-bounds.ts, hold only on request:
// tests need locks of a second, and messages that live for less.
import type { EntitiesConfig, SubscriptionConfig, TopicConfig } from "./entities-config.ts";
import { BrokerConfigError, type Check, type Fields, fieldsOf, flag, listOf, nameOf, status, text, whole } from "./config-checks.ts";
import { parseDuration } from "./durations.ts";
import { vendorRule } from "./vendor-rules.ts";

const duration: Check = (where, value) => durationMs(where, value);
const kilobytes: Check = (where, value) => Number(whole(where, value)) * 1024;
const maybeText: Check = (where, value) => (value === "" || value === null ? undefined : text(where, value));

const sharedKeys: ReadonlyMap<string, readonly [string, Check]> = new Map<string, readonly [string, Check]>([
  ["AutoDeleteOnIdle", ["autoDeleteOnIdleMs", duration]],
  ["DefaultMessageTimeToLive", ["timeToLiveMs", duration]],
  ["DuplicateDetectionHistoryTimeWindow", ["duplicateWindowMs", duration]],
  ["EnableBatchedOperations", ["batchedOperations", flag]],
  ["EnableExpress", ["express", flag]],
  ["EnablePartitioning", ["partitioned", flag]],
  ["MaxMessageSizeInKilobytes", ["messageBytesMax", kilobytes]],
  ["MaxSizeInMegabytes", ["sizeMegabytesMax", whole]],
  ["RequiresDuplicateDetection", ["requiresDuplicateDetection", flag]],
  ["Status", ["status", status]],
  ["SupportOrdering", ["supportOrdering", flag]],
  ["UserMetadata", ["userMetadata", maybeText]],
]);

const vendorQueueKeys: ReadonlyMap<string, readonly [string, Check]> = new Map<string, readonly [string, Check]>([
  ...sharedKeys,
  ["DeadLetteringOnFilterEvaluationExceptions", ["deadLetterOnFilterError", flag]],
  ["DeadLetteringOnMessageExpiration", ["deadLetterOnExpiry", flag]],
  ["ForwardTo", ["forwardTo", maybeText]],
  ["ForwardDeadLetteredMessagesTo", ["forwardDeadLettersTo", maybeText]],
  ["LockDuration", ["lockDurationMs", duration]],
  ["MaxDeliveryCount", ["deliveryCountMax", whole]],
  ["RequiresSession", ["requiresSession", flag]],
]);

export function vendorEntities(root: Fields): EntitiesConfig {
  const user = fieldsOf("UserConfig", root["UserConfig"]);
  const namespaces = listOf("UserConfig.Namespaces", user["Namespaces"]);
  if (namespaces.length > 1) throw new BrokerConfigError("UserConfig.Namespaces", "one namespace", namespaces.length);
  const where = "UserConfig.Namespaces[0]";
  const namespace = fieldsOf(where, namespaces[0] ?? {});
  const queues = listOf(`${where}.Queues`, namespace["Queues"]).map((item, i) => vendorEntity(`${where}.Queues[${i}]`, item, vendorQueueKeys));
  const topics = listOf(`${where}.Topics`, namespace["Topics"]).map((item, i) => vendorTopic(`${where}.Topics[${i}]`, item));
  return { queues, topics };
}

function vendorTopic(where: string, item: unknown): TopicConfig {
  const fields = fieldsOf(where, item);
  const list = listOf(`${where}.Subscriptions`, fields["Subscriptions"]);
  return {
    ...vendorEntity(where, fields, sharedKeys),
    subscriptions: list.map((subscription, i) => vendorSubscription(`${where}.Subscriptions[${i}]`, subscription)),
  };
}

function vendorSubscription(where: string, item: unknown): SubscriptionConfig {
  const fields = fieldsOf(where, item);
  const rules = listOf(`${where}.Rules`, fields["Rules"]).map((rule, i) => vendorRule(`${where}.Rules[${i}]`, rule));
  const subscription = vendorEntity(where, fields, vendorQueueKeys);
  return rules.length === 0 ? subscription : { ...subscription, rules };
}

function vendorEntity(where: string, item: unknown, keys: ReadonlyMap<string, readonly [string, Check]>): { name: string } {
  const fields = fieldsOf(where, item);
  const properties = fieldsOf(`${where}.Properties`, fields["Properties"] ?? {});
  const settings: [name: string, value: unknown][] = [];
  for (const [key, value] of Object.entries(properties)) {
    const known = keys.get(key);
    if (known === undefined) throw new BrokerConfigError(`${where}.Properties.${key}`, `one of ${[...keys.keys()].join(", ")}`, value);
    const [name, check] = known;
    const checked = check(`${where}.Properties.${key}`, value);
    if (checked !== undefined) settings.push([name, checked]);
  }
  return { ...Object.fromEntries(settings), name: nameOf(`${where}.Name`, fields["Name"]) };
}

function durationMs(where: string, value: unknown): number {
  const ms = typeof value === "string" ? parseDuration(value) : undefined;
  if (ms === undefined) throw new BrokerConfigError(where, "an ISO 8601 duration of days and time such as PT1M", value);
  if (ms <= 0) throw new BrokerConfigError(where, "a duration above zero", value);
  return ms;
}
