// Settings out of a description that a client has sent. Elements that are not known here are passed over, as the real
// service passes over those of other versions.
import { statuses } from "../entities/config-checks.ts";
import { parseDuration } from "../entities/durations.ts";
import { pathOf } from "../entities/namespace.ts";
import type { QueueSettings, TopicSettings } from "../entities/settings.ts";
import { BadXmlError, type ParsedElement, textOf, unadorned } from "./atom.ts";

type Parse = (name: string, text: string) => unknown;

const duration: Parse = (name, text) => {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0) throw new BadXmlError(`${name} must be an ISO 8601 duration above zero; it is '${text}'.`);
  return ms;
};

const flag: Parse = (name, text) => {
  const value = text.trim().toLowerCase();
  if (value !== "true" && value !== "false") throw new BadXmlError(`${name} must be true or false; it is '${text}'.`);
  return value === "true";
};

const whole: Parse = (name, text) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new BadXmlError(`${name} must be a whole number of at least 1; it is '${text}'.`);
  return value;
};

const status: Parse = (name, text) => {
  if (!statuses.includes(text)) throw new BadXmlError(`${name} must be one of ${statuses.join(", ")}; it is '${text}'.`);
  return text;
};

const kilobytes: Parse = (name, text) => Number(whole(name, text)) * 1024;
const plainText: Parse = (_name, text) => text;
/** Clients name another entity by its whole address. */
const entity: Parse = (_name, text) => (text.trim() === "" ? undefined : pathOf(text.trim()));

type Table = Readonly<Record<string, readonly [setting: string, parse: Parse]>>;

const topicTable: Table = {
  DefaultMessageTimeToLive: ["timeToLiveMs", duration],
  MaxSizeInMegabytes: ["sizeMegabytesMax", whole],
  RequiresDuplicateDetection: ["requiresDuplicateDetection", flag],
  DuplicateDetectionHistoryTimeWindow: ["duplicateWindowMs", duration],
  EnableBatchedOperations: ["batchedOperations", flag],
  EnableExpress: ["express", flag],
  EnablePartitioning: ["partitioned", flag],
  MaxMessageSizeInKilobytes: ["messageBytesMax", kilobytes],
  Status: ["status", status],
  SupportOrdering: ["supportOrdering", flag],
  UserMetadata: ["userMetadata", plainText],
  AutoDeleteOnIdle: ["autoDeleteOnIdleMs", duration],
};

const queueTable: Table = {
  ...topicTable,
  LockDuration: ["lockDurationMs", duration],
  RequiresSession: ["requiresSession", flag],
  DeadLetteringOnMessageExpiration: ["deadLetterOnExpiry", flag],
  DeadLetteringOnFilterEvaluationExceptions: ["deadLetterOnFilterError", flag],
  MaxDeliveryCount: ["deliveryCountMax", whole],
  ForwardTo: ["forwardTo", entity],
  ForwardDeadLetteredMessagesTo: ["forwardDeadLettersTo", entity],
};

/** @throws BadXmlError when a value cannot be used */
export function readQueueSettings(description: ParsedElement): Partial<QueueSettings> {
  return readSettings(description, queueTable);
}

/** @throws BadXmlError when a value cannot be used */
export function readTopicSettings(description: ParsedElement): Partial<TopicSettings> {
  return readSettings(description, topicTable);
}

function readSettings(description: ParsedElement, table: Table): Record<string, unknown> {
  const settings = Object.create(null) as Record<string, unknown>;
  for (const [name, [setting, parse]] of Object.entries(table)) {
    const text = textOf(description, name);
    if (text !== undefined) settings[setting] = parse(name, text);
  }
  const rules = description["AuthorizationRules"];
  if (rules !== undefined) settings["authorizationRules"] = unadorned(rules);
  return settings;
}
