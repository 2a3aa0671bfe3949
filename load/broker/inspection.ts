// The broker's account of itself, for people and for checkers that judge by it.
import { type ReadableBody, bodyOf, eventTypeOf } from "./codec/body.ts";
import { applicationPropertiesOf } from "./codec/message.ts";
import type { Readable } from "./codec/readable.ts";
import type { Counters, StateCounts } from "./entities/counters.ts";
import type { StoredMessage } from "./entities/message.ts";
import type { Namespace } from "./entities/namespace.ts";
import type { OutcomeWord } from "./entities/outcome-log.ts";
import type { MessageQueue } from "./entities/queue.ts";
import type { TopicCounters } from "./entities/topic.ts";

/** A queue, a subscription or a sub-queue. */
export interface QueueInspection {
  readonly kind: "queue" | "subscription" | "deadLetterQueue";
  readonly path: string;
  /** What it holds now. */
  readonly states: StateCounts;
  /** What ever happened to it; see `Counters` for what each one counts. */
  readonly totals: Counters;
  readonly receivers: number;
  /** Sessions that are locked or have a state; undefined where sessions are not required. */
  readonly sessions?: readonly InspectedSession[];
}

export interface InspectedSession {
  readonly sessionId: string;
  readonly lock: { readonly until: string; readonly holder: string } | null;
  readonly stateBytes: number | null;
}

export interface TopicInspection {
  readonly kind: "topic";
  readonly path: string;
  readonly scheduled: number;
  readonly totals: TopicCounters;
  readonly subscriptions: readonly string[];
}

/** What the broker holds, and what ever happened to it. */
export interface BrokerInspection {
  readonly connections: number;
  /** By path. Sub-queues are entries of their own. */
  readonly queues: Readonly<Record<string, QueueInspection>>;
  readonly topics: Readonly<Record<string, TopicInspection>>;
}

export type InspectedState = "active" | "locked" | "scheduled" | "deferred";

export interface InspectedMessage {
  readonly sequenceNumber: number;
  readonly enqueuedSequenceNumber: number;
  readonly messageId: string;
  /** Of the event that it brings, by its properties or a JSON body; null when neither tells. */
  readonly eventType: string | null;
  readonly sessionId: string | null;
  readonly state: InspectedState;
  /** Tries so far. */
  readonly deliveryCount: number;
  /** ISO 8601, as all times here. */
  readonly enqueuedAt: string;
  readonly expiresAt: string | null;
  readonly scheduledFor: string | null;
  /** A holder's lock ended without a settlement: its work may have been done or not. */
  readonly inDoubt: boolean;
  readonly lock: { readonly until: string; readonly holder: string } | null;
  readonly deadLetterReason: string | null;
  readonly deadLetterDescription: string | null;
  readonly deadLetterSource: string | null;
  readonly bytes: number;
  readonly applicationProperties: Readonly<Record<string, string | number | boolean | null>>;
  /** Its first 4 096 bytes, where bodies were asked for. */
  readonly body?: ReadableBody;
}

/** Some messages of an entity, by their sequence numbers. */
export interface MessagePage {
  readonly messages: readonly InspectedMessage[];
  /** Where the next page begins; null when this is the last. */
  readonly next: number | null;
}

/** Which messages of an entity a page has. */
export interface PageRequest {
  /** Only messages in this state. */
  readonly state?: InspectedState;
  /** Only messages in doubt. Default: false. */
  readonly inDoubt?: boolean;
  /** Whether bodies are included, too. Default: false. */
  readonly bodies?: boolean;
  /** Sequence number to begin at. Default: 0. */
  readonly from?: number;
  /** At most this many; 1 to 1000. Default: 100. */
  readonly top?: number;
}

/** Messages of one page. */
export const pageDefault = 100;
export const pageMax = 1000;
/** Messages that one page looks through for those in the wanted state. */
const scanMax = 100_000;

export function inspectNamespace(namespace: Namespace, connections: number): BrokerInspection {
  const queues = Object.create(null) as Record<string, QueueInspection>;
  for (const queue of namespace.messageQueues()) {
    queues[queue.path] = {
      kind: kindOf(queue),
      path: queue.path,
      states: queue.states,
      totals: { ...queue.counters },
      receivers: queue.consumerCount,
      ...sessionsOf(queue),
    };
  }
  const topics = Object.create(null) as Record<string, TopicInspection>;
  for (const topic of namespace.topics.values()) {
    const subscriptions = [...topic.subscriptions.values()].map(({ queue }) => queue.path);
    topics[topic.path] = { kind: "topic", path: topic.path, scheduled: topic.scheduledCount, totals: { ...topic.counters }, subscriptions };
  }
  return { connections, queues, topics };
}

/** A page of an entity's messages; undefined when there is no such entity. Dead letters are under `<path>/$DeadLetterQueue`. */
export function inspectMessages(namespace: Namespace, path: string, request: PageRequest = {}): MessagePage | undefined {
  const found = namespace.resolve(path);
  if (found.kind !== "queue") return undefined;
  const top = Math.min(Math.max(1, request.top ?? pageDefault), pageMax);
  const messages: InspectedMessage[] = [];
  let from = request.from ?? 0;
  for (let scanned = 0; scanned < scanMax;) {
    const chunk = found.queue.look(from, Math.min(pageMax, scanMax - scanned));
    if (chunk.length === 0) return { messages, next: null };
    for (const message of chunk) {
      if (messages.length >= top) return { messages, next: message.sequenceNumber };
      scanned++;
      from = message.sequenceNumber + 1;
      const isWanted = (request.state === undefined || stateOf(message) === request.state) && (request.inDoubt !== true || message.isInDoubt);
      if (isWanted) messages.push(inspectMessage(message, request.bodies === true));
    }
  }
  return { messages, next: from };
}

/** How many messages of an entity are in which state; undefined when there is no such entity. For who asks often: an inspection looks at all of them. */
export function inspectStates(namespace: Namespace, path: string): StateCounts | undefined {
  const found = namespace.resolve(path);
  return found.kind === "queue" ? found.queue.states : undefined;
}

/** Every message id's outcomes in an entity, in order; undefined when there is no such entity or nothing is recorded. */
export function inspectOutcomes(namespace: Namespace, path: string): ReadonlyMap<string, readonly OutcomeWord[]> | undefined {
  const found = namespace.resolve(path);
  return found.kind === "queue" ? found.queue.log?.entries() : undefined;
}

/** Sessions that one inspection lists at most. */
const sessionsMax = 1000;

function sessionsOf({ sessions }: MessageQueue): { sessions?: InspectedSession[] } {
  if (sessions === undefined) return {};
  const told: InspectedSession[] = [];
  for (const { sessionId, holder, lockedUntilMs, state } of sessions.all()) {
    if (holder === undefined && state === undefined) continue;
    told.push({ sessionId, lock: holder === undefined ? null : { until: new Date(lockedUntilMs).toISOString(), holder }, stateBytes: state?.length ?? null });
    if (told.length >= sessionsMax) break;
  }
  return { sessions: told };
}

function kindOf(queue: MessageQueue): QueueInspection["kind"] {
  if (queue.deadLetters === undefined) return "deadLetterQueue";
  return /\/Subscriptions\/[^/]+$/.test(queue.path) ? "subscription" : "queue";
}

function stateOf(message: StoredMessage): InspectedState {
  return message.lockId === 0 ? message.state : "locked";
}

function timeOf(ms: number): string | null {
  return ms > 0 && ms < 8.64e15 ? new Date(ms).toISOString() : null;
}

function inspectMessage(message: StoredMessage, withBody: boolean): InspectedMessage {
  const properties = applicationPropertiesOf(message);
  return {
    sequenceNumber: message.sequenceNumber,
    enqueuedSequenceNumber: message.enqueuedSequenceNumber,
    messageId: message.content.messageId,
    eventType: eventTypeOf(message.content.bare, properties),
    sessionId: message.content.sessionId ?? null,
    state: stateOf(message),
    deliveryCount: message.deliveryCount,
    enqueuedAt: new Date(message.enqueuedAtMs).toISOString(),
    expiresAt: timeOf(message.expiresAtMs),
    scheduledFor: timeOf(message.dueAtMs),
    inDoubt: message.isInDoubt,
    lock: message.lockId === 0 ? null : { until: new Date(message.lockedUntilMs).toISOString(), holder: message.holder },
    deadLetterReason: textOf(properties["DeadLetterReason"]),
    deadLetterDescription: textOf(properties["DeadLetterErrorDescription"]),
    deadLetterSource: message.deadLetteredBy ?? null,
    bytes: message.content.bare.length,
    applicationProperties: properties,
    ...(withBody ? { body: bodyOf(message.content.bare) } : {}),
  };
}

/** A reason that is no text is shown as what it is. */
function textOf(value: Readable | undefined): string | null {
  return value === undefined || value === null ? null : String(value);
}
