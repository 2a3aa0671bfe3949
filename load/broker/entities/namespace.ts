// All entities of one broker, and which of them an address means.
import type { MessageContent } from "../codec/message.ts";
import type { Clock } from "./clock.ts";
import type { EntitiesConfig, QueueConfig, SubscriptionConfig, TopicConfig } from "./config.ts";
import type { Transfer } from "./message.ts";
import { OutcomeLog } from "./outcome-log.ts";
import { MessageQueue } from "./queue.ts";
import { forwardHopsMax, queueDefaults, type QueueSettings, topicDefaults } from "./settings.ts";
import { type Subscription, Topic } from "./topic.ts";

/** What an address means. `management` marks the entity's `$management` node. */
export type Resolution =
  | { readonly kind: "queue"; readonly queue: MessageQueue; readonly sendable: boolean; readonly management: boolean }
  | { readonly kind: "topic"; readonly topic: Topic; readonly management: boolean }
  | { readonly kind: "notFound" };

/** What messages can be sent to. */
export type Destination = MessageQueue | Topic;

export interface NamespaceOptions {
  readonly clock: Clock;
  /** Keep every message id's outcomes. */
  readonly record: boolean;
  /** Told of what an operator should know. */
  readonly warn: (message: string) => void;
}

const deadLetterSuffix = "/$deadletterqueue";
const transferSuffix = "/$transfer";
const managementSuffix = "/$management";
const subscriptionPattern = /^(.+)\/subscriptions\/([^/]+)$/;

export class Namespace {
  /** By path in lower case. */
  readonly queues: Map<string, MessageQueue> = new Map<string, MessageQueue>();
  readonly topics: Map<string, Topic> = new Map<string, Topic>();
  readonly createdAtMs: number;
  readonly #options: NamespaceOptions;
  #lastLockId = 0;

  constructor(config: EntitiesConfig, options: NamespaceOptions) {
    this.#options = options;
    this.createdAtMs = options.clock.now();
    for (const queue of config.queues) this.addQueue(queue);
    for (const topic of config.topics) this.addTopic(topic);
  }

  /** Every queue-like entity: queues, subscriptions, and the dead-letter sub-queue of each. */
  *messageQueues(): Generator<MessageQueue> {
    for (const queue of this.queues.values()) yield* withDeadLetters(queue);
    for (const topic of this.topics.values()) {
      for (const { queue } of topic.subscriptions.values()) yield* withDeadLetters(queue);
    }
  }

  addQueue(config: QueueConfig): MessageQueue {
    const queue = this.#newQueue(config.name, { ...queueDefaults, ...config });
    this.queues.set(config.name.toLowerCase(), queue);
    return queue;
  }

  addTopic(config: TopicConfig): Topic {
    const topic = new Topic(config.name, { ...topicDefaults, ...config }, this.#options.clock);
    this.topics.set(config.name.toLowerCase(), topic);
    for (const subscription of config.subscriptions) this.addSubscription(topic, subscription);
    return topic;
  }

  addSubscription(topic: Topic, config: SubscriptionConfig): Subscription {
    const settings = { ...queueDefaults, ...config };
    const livesMs = Math.min(settings.timeToLiveMs, topic.settings.timeToLiveMs);
    const queue = this.#newQueue(`${topic.path}/Subscriptions/${config.name}`, { ...settings, timeToLiveMs: livesMs });
    const subscription: Subscription = { name: config.name, queue, matches: (_content: MessageContent) => true };
    topic.subscriptions.set(config.name.toLowerCase(), subscription);
    return subscription;
  }

  /** Finds what an address means: `<entity>`, with or without a scheme and host, a sub-queue and `/$management`. */
  resolve(address: string): Resolution {
    let path = pathOf(address).toLowerCase();
    const management = path.endsWith(managementSuffix);
    if (management) path = path.slice(0, -managementSuffix.length);
    const deadLetter = path.endsWith(deadLetterSuffix);
    if (deadLetter) path = path.slice(0, -deadLetterSuffix.length);
    if (path.endsWith(transferSuffix)) return { kind: "notFound" };
    const topic = this.topics.get(path);
    if (topic !== undefined && !deadLetter) return { kind: "topic", topic, management };
    const found = this.queues.get(path) ?? this.#subscriptionQueue(path);
    const queue = deadLetter ? found?.deadLetters : found;
    if (queue === undefined) return { kind: "notFound" };
    return { kind: "queue", queue, sendable: this.queues.has(path) && !deadLetter, management };
  }

  stop(): void {
    for (const queue of this.queues.values()) queue.stop();
    for (const topic of this.topics.values()) topic.stop();
  }

  #subscriptionQueue(path: string): MessageQueue | undefined {
    const match = subscriptionPattern.exec(path);
    if (match === null) return undefined;
    return this.topics.get(match[1] ?? "")?.subscriptions.get(match[2] ?? "")?.queue;
  }

  #newQueue(path: string, settings: QueueSettings): MessageQueue {
    const { clock, record } = this.#options;
    const nextLockId = (): number => ++this.#lastLockId;
    const letterSettings: QueueSettings = { ...settings, deliveryCountMax: Infinity, timeToLiveMs: Infinity, requiresDuplicateDetection: false, forwardTo: undefined };
    const common = { clock, nextLockId };
    const deadLetters = new MessageQueue({
      ...common,
      path: `${path}/$DeadLetterQueue`,
      settings: letterSettings,
      deadLetters: undefined,
      forward: undefined,
      log: record ? new OutcomeLog() : undefined,
    });
    const { forwardTo } = settings;
    const forward = forwardTo === undefined ? undefined : (transfer: Transfer): void => this.#forward(path, forwardTo, transfer);
    return new MessageQueue({ ...common, path, settings, deadLetters, forward, log: record ? new OutcomeLog() : undefined });
  }

  #forward(from: string, to: string, transfer: Transfer): void {
    const target = this.resolve(to);
    if (transfer.hops > forwardHopsMax) {
      this.#options.warn(`dropped a message of ${from}: expected at most ${forwardHopsMax} auto-forwards, found a longer chain or a circle`);
    } else if (target.kind === "topic") {
      target.topic.acceptTransfer(transfer);
      target.topic.dispatch();
    } else if (target.kind === "queue") {
      target.queue.acceptTransfer(transfer, "movedIn");
      target.queue.dispatch();
    } else this.#options.warn(`dropped a message of ${from}: expected the queue or topic ${to} to forward to, found none`);
  }
}

function* withDeadLetters(queue: MessageQueue): Generator<MessageQueue> {
  yield queue;
  if (queue.deadLetters !== undefined) yield queue.deadLetters;
}

/** An address without its scheme, host and outer slashes. */
function pathOf(address: string): string {
  return address.replace(/^(?:amqps?|sb):\/\/[^/]*\//i, "").replace(/^\/+|\/+$/g, "");
}
