// Entities as the vendor's emulator has them in its Config.json. Its bounds, in setting-bounds.ts, hold only on request: tests
// need messages that live for less.
import type { EntitiesConfig, SubscriptionConfig, TopicConfig } from "./entities-config.ts";
import { BrokerConfigError, type Check, checkKeys, type Fields, fieldsOf, flag, listOf, nameOf, status, text, whole } from "./config-checks.ts";
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
  checkKeys("configuration", root, ["UserConfig"]);
  const user = fieldsOf("UserConfig", root["UserConfig"]);
  checkKeys("UserConfig", user, ["Namespaces", "Logging"]);
  if (user["Namespaces"] === undefined) throw new BrokerConfigError("UserConfig.Namespaces", "a list of one namespace", undefined);
  const namespaces = listOf("UserConfig.Namespaces", user["Namespaces"]);
  if (namespaces.length > 1) throw new BrokerConfigError("UserConfig.Namespaces", "one namespace", namespaces.length);
  const where = "UserConfig.Namespaces[0]";
  const namespace = fieldsOf(where, namespaces[0] ?? {});
  checkKeys(where, namespace, ["Name", "Queues", "Topics"]);
  const queues = listOf(`${where}.Queues`, namespace["Queues"]).map((item, i) => vendorEntity(`${where}.Queues[${i}]`, item, vendorQueueKeys, []));
  const topics = listOf(`${where}.Topics`, namespace["Topics"]).map((item, i) => vendorTopic(`${where}.Topics[${i}]`, item));
  return { queues, topics };
}

function vendorTopic(where: string, item: unknown): TopicConfig {
  const fields = fieldsOf(where, item);
  const list = listOf(`${where}.Subscriptions`, fields["Subscriptions"]);
  return {
    ...vendorEntity(where, fields, sharedKeys, ["Subscriptions"]),
    subscriptions: list.map((subscription, i) => vendorSubscription(`${where}.Subscriptions[${i}]`, subscription)),
  };
}

function vendorSubscription(where: string, item: unknown): SubscriptionConfig {
  const fields = fieldsOf(where, item);
  const rules = listOf(`${where}.Rules`, fields["Rules"]).map((rule, i) => vendorRule(`${where}.Rules[${i}]`, rule));
  const subscription = vendorEntity(where, fields, vendorQueueKeys, ["Rules"]);
  return rules.length === 0 ? subscription : { ...subscription, rules };
}

/** @param parts keys beside its name and its properties */
function vendorEntity(where: string, item: unknown, keys: ReadonlyMap<string, readonly [string, Check]>, parts: readonly string[]): { name: string } {
  const fields = fieldsOf(where, item);
  checkKeys(where, fields, ["Name", "Properties", ...parts]);
  const properties = fieldsOf(`${where}.Properties`, fields["Properties"] ?? {});
  checkKeys(`${where}.Properties`, properties, [...keys.keys()]);
  const settings: [name: string, value: unknown][] = [];
  for (const [key, value] of Object.entries(properties)) {
    const known = keys.get(key);
    if (known === undefined) continue;
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
