// Entities as a configuration describes them: our own short form, or the vendor's emulator file as it is.
import { parseDuration } from "./durations.ts";
import type { QueueSettings, TopicSettings } from "./settings.ts";

export interface QueueConfig extends Partial<QueueSettings> {
  readonly name: string;
}

export interface SubscriptionConfig extends Partial<QueueSettings> {
  readonly name: string;
}

export interface TopicConfig extends Partial<TopicSettings> {
  readonly name: string;
  readonly subscriptions: readonly SubscriptionConfig[];
}

export interface EntitiesConfig {
  readonly queues: readonly QueueConfig[];
  readonly topics: readonly TopicConfig[];
}

/** A configuration that cannot be used; the message says where, what was expected and what was found. */
export class BrokerConfigError extends Error {
  readonly code = "BrokerConfig";
  constructor(where: string, expected: string, found: unknown) {
    super(`${where}: expected ${expected}, found ${found === undefined ? "nothing" : JSON.stringify(found)}`);
    this.name = "BrokerConfigError";
  }
}

type Fields = Readonly<Record<string, unknown>>;

const namePattern = /^[A-Za-z0-9]$|^[A-Za-z0-9][\w\-./]*[A-Za-z0-9]$/;

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
  checkForwarding(config);
  return config;
}

/** Takes `//` and block comments out of JSON, as the vendor's file may have them. */
export function withoutComments(text: string): string {
  return text.replace(/("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (_match, quoted: string | undefined) => quoted ?? "");
}

// --- our own form ---

type Check = (where: string, value: unknown) => unknown;

const positive: Check = (where, value) => {
  if (typeof value !== "number" || !(value > 0)) throw new BrokerConfigError(where, "a number above 0", value);
  return value;
};

const whole: Check = (where, value) => {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) throw new BrokerConfigError(where, "a whole number of at least 1", value);
  return value;
};

const flag: Check = (where, value) => {
  if (typeof value !== "boolean") throw new BrokerConfigError(where, "true or false", value);
  return value;
};

const text: Check = (where, value) => {
  if (typeof value !== "string" || value === "") throw new BrokerConfigError(where, "a name", value);
  return value;
};

const topicKeys: Readonly<Record<string, Check>> = {
  timeToLiveMs: positive,
  requiresDuplicateDetection: flag,
  duplicateWindowMs: positive,
  messageBytesMax: whole,
};

const queueKeys: Readonly<Record<string, Check>> = {
  ...topicKeys,
  lockDurationMs: positive,
  deliveryCountMax: whole,
  deadLetterOnExpiry: flag,
  requiresSession: flag,
  forwardTo: text,
  forwardDeadLettersTo: text,
};

function ownEntities(root: Fields): EntitiesConfig {
  for (const key of Object.keys(root)) {
    if (key !== "queues" && key !== "topics") throw new BrokerConfigError(`configuration.${key}`, "queues or topics", root[key]);
  }
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
    subscriptions: list.map((subscription, i) => ownEntity(`${where}.subscriptions[${i}]`, subscription, queueKeys)),
  };
}

function ownEntity(where: string, item: unknown, keys: Readonly<Record<string, Check>>): { name: string } {
  const { name, ...rest } = typeof item === "string" ? { name: item } : fieldsOf(where, item);
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rest)) {
    const check = keys[key];
    if (check === undefined) throw new BrokerConfigError(`${where}.${key}`, `one of name, ${Object.keys(keys).join(", ")}`, value);
    result[key] = check(`${where}.${key}`, value);
  }
  return { ...result, name: nameOf(`${where}.name`, name) };
}

// --- the vendor's form ---

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

function vendorEntities(root: Fields): EntitiesConfig {
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
    ...vendorEntity(where, fields, vendorTopicKeys),
    subscriptions: list.map((subscription, i) => vendorSubscription(`${where}.Subscriptions[${i}]`, subscription)),
  };
}

function vendorSubscription(where: string, item: unknown): SubscriptionConfig {
  const fields = fieldsOf(where, item);
  const rules = listOf(`${where}.Rules`, fields["Rules"]);
  if (rules.length > 0) throw new BrokerConfigError(`${where}.Rules`, "no rules (this broker gives every subscription all messages so far)", rules.length);
  return vendorEntity(where, fields, vendorQueueKeys);
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

// --- common ---

function fieldsOf(where: string, value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new BrokerConfigError(where, "an object", value);
  return value as Fields;
}

function listOf(where: string, value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new BrokerConfigError(where, "a list", value);
  return value;
}

/** Whether a queue or topic can have this name. */
export function isName(name: string): boolean {
  return name.length <= 260 && namePattern.test(name);
}

function nameOf(where: string, value: unknown): string {
  if (typeof value !== "string" || !isName(value)) {
    throw new BrokerConfigError(where, "a name of letters, digits, dots, hyphens, underscores and slashes that begins and ends with a letter or digit", value);
  }
  return value;
}

function checkForwarding(config: EntitiesConfig): void {
  const known = new Set<string>();
  for (const { name } of [...config.queues, ...config.topics]) {
    if (known.has(name.toLowerCase())) throw new BrokerConfigError(name, "each queue and topic to have a name of its own", name);
    known.add(name.toLowerCase());
  }
  for (const source of [...config.queues, ...config.topics.flatMap((topic) => topic.subscriptions)]) {
    for (const key of ["forwardTo", "forwardDeadLettersTo"] as const) {
      const target = source[key];
      if (target !== undefined && !known.has(target.toLowerCase())) throw new BrokerConfigError(`${source.name}.${key}`, "a queue or topic of this configuration", target);
    }
  }
}
