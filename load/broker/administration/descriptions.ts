// Entities as the administration API describes them.
import { formatDuration } from "../entities/durations.ts";
import type { Namespace } from "../entities/namespace.ts";
import type { MessageQueue } from "../entities/queue.ts";
import type { Described, QueueSettings } from "../entities/settings.ts";
import type { Subscription, Topic } from "../entities/topic.ts";
import type { Description, Xml, XmlElement } from "./atom.ts";
import { hostOf } from "./call.ts";

const countNamespace = "http://schemas.microsoft.com/netservices/2011/06/servicebus";

interface Times {
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly accessedAtMs: number;
}

function timesOf({ createdAtMs, updatedAtMs, accessedAtMs }: Times): XmlElement {
  return { CreatedAt: timeOf(createdAtMs), UpdatedAt: timeOf(updatedAtMs), AccessedAt: timeOf(accessedAtMs) };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** What the real service counts as active is everything that is neither scheduled nor dead: locked and deferred, too. */
function countsOf(queue: MessageQueue): XmlElement {
  const { active, locked, deferred, scheduled, deadLettered } = queue.states;
  return {
    "@xmlns:d2p1": countNamespace,
    "d2p1:ActiveMessageCount": active + locked + deferred,
    "d2p1:DeadLetterMessageCount": deadLettered,
    "d2p1:ScheduledMessageCount": scheduled,
    "d2p1:TransferMessageCount": 0,
    "d2p1:TransferDeadLetterMessageCount": queue.transferLetters?.size ?? 0,
  };
}

function totalOf(queue: MessageQueue): number {
  return queue.size + queue.states.deadLettered + (queue.transferLetters?.size ?? 0);
}

/** Another entity is given by its whole address, however it was named. */
function addressOf(path: string | undefined, base: string): string | undefined {
  return path === undefined ? undefined : `sb://${hostOf(base)}/${path}`;
}

/** The settings that queues and subscriptions share, in the order that the real service keeps. */
function receiverFields(settings: QueueSettings, base: string): XmlElement {
  return {
    LockDuration: formatDuration(settings.lockDurationMs),
    RequiresSession: settings.requiresSession,
    DefaultMessageTimeToLive: formatDuration(settings.timeToLiveMs),
    DeadLetteringOnMessageExpiration: settings.deadLetterOnExpiry,
    MaxDeliveryCount: settings.deliveryCountMax,
    ForwardTo: addressOf(settings.forwardTo, base),
    ForwardDeadLetteredMessagesTo: addressOf(settings.forwardDeadLettersTo, base),
  };
}

function commonFields(settings: Described): XmlElement {
  return {
    EnableBatchedOperations: settings.batchedOperations,
    AuthorizationRules: settings.authorizationRules as Xml,
    Status: settings.status,
    UserMetadata: settings.userMetadata,
    AutoDeleteOnIdle: formatDuration(settings.autoDeleteOnIdleMs),
    EntityAvailabilityStatus: "Available",
  };
}

function senderFields(settings: Described & Pick<QueueSettings, "requiresDuplicateDetection" | "duplicateWindowMs" | "messageBytesMax">): XmlElement {
  return {
    MaxSizeInMegabytes: Math.ceil(settings.sizeMegabytesMax),
    RequiresDuplicateDetection: settings.requiresDuplicateDetection,
    DuplicateDetectionHistoryTimeWindow: formatDuration(settings.duplicateWindowMs),
    EnablePartitioning: settings.partitioned,
    EnableExpress: settings.express,
    MaxMessageSizeInKilobytes: Math.ceil(settings.messageBytesMax / 1024),
  };
}

/** @param base the scheme and host that the client called */
export function describeQueue(queue: MessageQueue, base: string): Description {
  const { settings } = queue;
  const fields = {
    ...receiverFields(settings, base),
    ...senderFields(settings),
    ...commonFields(settings),
    IsAnonymousAccessible: false,
    SupportOrdering: settings.supportOrdering,
    SizeInBytes: queue.bytes,
    MessageCount: totalOf(queue),
    ...timesOf(queue),
    CountDetails: countsOf(queue),
  };
  return { path: queue.path, title: queue.path, kind: "QueueDescription", fields, version: settings, ...momentsOf(queue) };
}

export function describeTopic(topic: Topic): Description {
  const { settings } = topic;
  const fields = {
    DefaultMessageTimeToLive: formatDuration(settings.timeToLiveMs),
    ...senderFields(settings),
    ...commonFields(settings),
    FilteringMessagesBeforePublishing: false,
    IsAnonymousAccessible: false,
    SupportOrdering: settings.supportOrdering,
    SizeInBytes: topic.bytes,
    SubscriptionCount: topic.subscriptions.size,
    ...timesOf(topic),
    CountDetails: {
      "@xmlns:d2p1": countNamespace,
      "d2p1:ActiveMessageCount": 0,
      "d2p1:DeadLetterMessageCount": 0,
      "d2p1:ScheduledMessageCount": topic.scheduledCount,
      "d2p1:TransferMessageCount": 0,
      "d2p1:TransferDeadLetterMessageCount": 0,
    },
  };
  return { path: topic.path, title: topic.path, kind: "TopicDescription", fields, version: settings, ...momentsOf(topic) };
}

export function describeSubscription({ name, queue }: Subscription, base: string): Description {
  const fields = {
    ...receiverFields(queue.settings, base),
    DeadLetteringOnFilterEvaluationExceptions: queue.settings.deadLetterOnFilterError,
    ...commonFields(queue.settings),
    MessageCount: totalOf(queue),
    ...timesOf(queue),
    CountDetails: countsOf(queue),
  };
  return { path: queue.path, title: name, kind: "SubscriptionDescription", fields, version: queue.settings, ...momentsOf(queue) };
}

export function describeNamespace(namespace: Namespace, name: string): Description {
  const { createdAtMs } = namespace;
  const fields = {
    Alias: "",
    CreatedTime: timeOf(createdAtMs),
    MessagingSKU: "Standard",
    MessagingUnits: 0,
    ModifiedTime: timeOf(createdAtMs),
    Name: name,
    NamespaceType: "Messaging",
  };
  return { path: "$namespaceinfo", title: name, kind: "NamespaceInfo", fields, version: fields, createdAtMs, updatedAtMs: createdAtMs };
}

function momentsOf({ createdAtMs, updatedAtMs }: Times): { createdAtMs: number; updatedAtMs: number } {
  return { createdAtMs, updatedAtMs };
}
