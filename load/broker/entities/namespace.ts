// All entities of one broker, and which of them an address means.
import { defaultRule, type RuleDescription, RuleSet } from "../filters/rules.ts";
import type { Clock } from "./clock.ts";
import { asEmulated, type Bounds, countRules, emulatorBounds, noBounds } from "./emulator-bounds.ts";
import type { EntitiesConfig, QueueConfig, SubscriptionConfig, TopicConfig } from "./entities-config.ts";
import type { Transfer } from "./message.ts";
import type { EntityJournal } from "./message-store.ts";
import { IdleWatch, type Perishable } from "./idle-watch.ts";
import { OutcomeLog } from "./outcome-log.ts";
import { MessageQueue } from "./queue.ts";
import { forwardHopsMax, queueDefaults, type QueueSettings, topicDefaults, type TopicSettings } from "./settings.ts";
import type { Bounding } from "./setting-bounds.ts";
import { type Subscription, Topic } from "./topic.ts";

/** What an address means. `management` marks the entity's `$management` node. */
export type Resolution =
  | {
      readonly kind: "queue";
      readonly queue: MessageQueue;
      readonly subscription: Subscription | undefined;
      readonly sendable: boolean;
      readonly management: boolean;
    }
  | { readonly kind: "topic"; readonly topic: Topic; readonly management: boolean }
  | { readonly kind: "notFound" };

/** What messages can be sent to. */
export type Destination = MessageQueue | Topic;

export interface NamespaceOptions {
  readonly clock: Clock;
  /** Whose bounds it is held to. Default: the service's. */
  readonly bounding?: Bounding;
  /** Keep every message id's outcomes. */
  readonly record: boolean;
  /** Keeps what an entity holds; undefined = nothing is kept. */
  readonly journalOf?: (path: string) => EntityJournal;
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
  readonly bounding: Bounding;
  /** How many of everything there may be. */
  readonly bounds: Bounds;
  /** Told of an entity that was deleted because nobody used it. */
  onIdleDeleted: (path: string) => void = () => undefined;
  readonly #options: NamespaceOptions;
  readonly #idle: IdleWatch;
  #lastLockId = 0;

  constructor(config: EntitiesConfig, options: NamespaceOptions) {
    this.#options = options;
    this.bounding = options.bounding ?? "service";
    this.bounds = this.bounding === "emulator" ? emulatorBounds : noBounds;
    this.createdAtMs = options.clock.now();
    this.#idle = new IdleWatch(
      options.clock,
      () => this.#perishable(),
      (path) => {
        if (this.remove(path)) this.onIdleDeleted(path);
      },
    );
    for (const queue of config.queues) this.addQueue(queue);
    for (const topic of config.topics) this.addTopic(topic);
  }

  get nowMs(): number {
    return this.#options.clock.now();
  }

  /** Every queue-like entity: queues, subscriptions, the dead-letter sub-queue of each, and whatever could not be moved on. */
  *messageQueues(): Generator<MessageQueue> {
    for (const queue of this.allQueues()) {
      if (!queue.path.endsWith("/$Transfer/$DeadLetterQueue") || queue.size > 0 || queue.counters.movedIn > 0) yield queue;
    }
  }

  /** The same, with the transfer dead-letter queues that hold nothing and never did. */
  *allQueues(): Generator<MessageQueue> {
    for (const queue of this.queues.values()) yield* withLetters(queue);
    for (const topic of this.topics.values()) {
      for (const { queue } of topic.subscriptions.values()) yield* withLetters(queue);
    }
  }

  addQueue(config: QueueConfig): MessageQueue {
    const { name, ...settings } = config;
    const queue = this.#newQueue(name, { ...queueDefaults, ...this.#bounded(settings) }, () => Infinity);
    this.queues.set(name.toLowerCase(), queue);
    this.#watch(queue);
    return queue;
  }

  addTopic(config: TopicConfig): Topic {
    const { name, subscriptions, ...settings } = config;
    const topic = new Topic(name, { ...topicDefaults, ...this.#bounded(settings) }, this.#options.clock, this.#options.journalOf?.(name));
    this.topics.set(name.toLowerCase(), topic);
    for (const subscription of subscriptions) this.addSubscription(topic, subscription);
    this.#watch(topic);
    return topic;
  }

  addSubscription(topic: Topic, config: SubscriptionConfig): Subscription {
    const { name, rules = [defaultRule], ...settings } = config;
    const ruleSet = new RuleSet(rules, this.#options.clock.now());
    const queue = this.#newQueue(`${topic.path}/Subscriptions/${name}`, { ...queueDefaults, ...this.#bounded(settings) }, () => topic.settings.timeToLiveMs);
    const subscription: Subscription = { name, queue, rules: ruleSet };
    topic.subscriptions.set(name.toLowerCase(), subscription);
    this.#watch(queue);
    return subscription;
  }

  /** Gives a queue or subscription other settings; what it holds stays. */
  configureQueue(queue: MessageQueue, settings: QueueSettings): void {
    queue.configure(this.#bounded(settings));
    queue.deadLetters?.configure(letterSettings(settings, settings.forwardDeadLettersTo));
    queue.transferLetters?.configure(letterSettings(settings, undefined));
    queue.dispatch();
    this.#watch(queue);
  }

  configureTopic(topic: Topic, settings: TopicSettings): void {
    topic.configure(this.#bounded(settings));
    this.#watch(topic);
  }

  /** All entities as a configuration would describe them. */
  definitions(): EntitiesConfig {
    return {
      queues: [...this.queues.values()].map(({ path, settings }) => ({ name: path, ...settings })),
      topics: [...this.topics.values()].map(({ path, settings, subscriptions }) => ({
        name: path,
        ...settings,
        subscriptions: [...subscriptions.values()].map(({ name, queue, rules }) => ({
          name,
          ...queue.settings,
          rules: rules.all().map(({ description }) => description),
        })),
      })),
    };
  }

  /** Takes an entity away with all it holds. False when there is none at the path. */
  remove(path: string): boolean {
    const key = path.toLowerCase();
    const queue = this.queues.get(key);
    const topic = this.topics.get(key);
    queue?.stop();
    queue?.sessions?.endWaiting("deleted");
    topic?.stop();
    for (const subscription of topic?.subscriptions.values() ?? []) subscription.queue.sessions?.endWaiting("deleted");
    if (this.queues.delete(key) || this.topics.delete(key)) return true;
    const [, topicKey = "", name = ""] = subscriptionPattern.exec(key) ?? [];
    const subscriptions = this.topics.get(topicKey)?.subscriptions;
    const subscription = subscriptions?.get(name)?.queue;
    subscription?.stop();
    subscription?.sessions?.endWaiting("deleted");
    return subscriptions?.delete(name) ?? false;
  }

  /** Why a subscription cannot have one more rule, which is what its topic bounds; undefined = it can. */
  ruleTrouble(path: string, { filter }: RuleDescription): string | undefined {
    const { sqlRulesMax, correlationRulesMax } = this.bounds;
    const topic = this.topics.get(subscriptionPattern.exec(path.toLowerCase())?.[1] ?? "");
    if (this.bounding !== "emulator" || topic === undefined || (filter.kind !== "sql" && filter.kind !== "correlation")) return undefined;
    const max = filter.kind === "sql" ? sqlRulesMax : correlationRulesMax;
    const rules = [...topic.subscriptions.values()].flatMap((subscription) => subscription.rules.all().map(({ description }) => description));
    return countRules(rules, filter.kind) < max
      ? undefined
      : `The subscriptions of a topic have at most ${max} rules with a ${filter.kind === "sql" ? "SQL" : "correlation"} filter.`;
  }

  /** The subscription at `<topic>/Subscriptions/<name>`. */
  subscriptionAt(path: string): Subscription | undefined {
    const [, topic = "", name = ""] = subscriptionPattern.exec(path.toLowerCase()) ?? [];
    return this.topics.get(topic)?.subscriptions.get(name);
  }

  /** Finds what an address means: `<entity>`, with or without a scheme and host, a sub-queue and `/$management`. */
  resolve(address: string): Resolution {
    let path = pathOf(address).toLowerCase();
    const management = path.endsWith(managementSuffix);
    if (management) path = path.slice(0, -managementSuffix.length);
    const deadLetter = path.endsWith(deadLetterSuffix);
    if (deadLetter) path = path.slice(0, -deadLetterSuffix.length);
    const transfer = deadLetter && path.endsWith(transferSuffix);
    if (transfer) path = path.slice(0, -transferSuffix.length);
    const topic = this.topics.get(path);
    if (topic !== undefined && !deadLetter) return { kind: "topic", topic, management };
    const subscription = this.subscriptionAt(path);
    const found = this.queues.get(path) ?? subscription?.queue;
    const letters = transfer ? found?.transferLetters : found?.deadLetters;
    const queue = deadLetter ? letters : found;
    if (queue === undefined) return { kind: "notFound" };
    return { kind: "queue", queue, subscription: deadLetter ? undefined : subscription, sendable: this.queues.has(path) && !deadLetter, management };
  }

  stop(): void {
    this.#idle.stop();
    for (const queue of this.queues.values()) queue.stop();
    for (const topic of this.topics.values()) topic.stop();
  }

  #bounded<T extends object>(settings: T): T {
    return this.bounding === "emulator" ? asEmulated(settings) : settings;
  }

  #watch({ settings }: Perishable): void {
    if (settings.autoDeleteOnIdleMs !== Infinity) this.#idle.look();
  }

  *#perishable(): Generator<Perishable> {
    yield* this.queues.values();
    for (const topic of this.topics.values()) {
      yield topic;
      for (const { queue } of topic.subscriptions.values()) yield queue;
    }
  }

  #newQueue(path: string, settings: QueueSettings, timeToLiveMaxMs: () => number): MessageQueue {
    const { clock, record, journalOf } = this.#options;
    const common = {
      clock,
      nextLockId: (): number => ++this.#lastLockId,
      forward: (transfer: Transfer, to: string): string | undefined => this.#forward(transfer, to),
    };
    const newLog = (): OutcomeLog | undefined => (record ? new OutcomeLog() : undefined);
    const letters = (suffix: string, forwardTo: string | undefined, transferLetters: MessageQueue | undefined): MessageQueue =>
      new MessageQueue({
        ...common,
        path: `${path}/${suffix}`,
        settings: letterSettings(settings, forwardTo),
        timeToLiveMaxMs: () => Infinity,
        deadLetters: undefined,
        transferLetters,
        log: newLog(),
        journal: journalOf?.(`${path}/${suffix}`),
      });
    const transferLetters = letters("$Transfer/$DeadLetterQueue", undefined, undefined);
    const deadLetters = letters("$DeadLetterQueue", settings.forwardDeadLettersTo, transferLetters);
    return new MessageQueue({ ...common, path, settings, timeToLiveMaxMs, deadLetters, transferLetters, log: newLog(), journal: journalOf?.(path) });
  }

  /** Moves a message to another entity. Returns why it cannot. */
  #forward(transfer: Transfer, to: string): string | undefined {
    if (transfer.hops > forwardHopsMax) return `The message was forwarded more than ${forwardHopsMax} times.`;
    const target = this.resolve(to);
    if (target.kind === "notFound") return `The messaging entity '${to}' to forward to could not be found.`;
    const destination = target.kind === "topic" ? target.topic : target.queue;
    const { status, messageBytesMax } = destination.settings;
    if (status === "Disabled" || status === "SendDisabled") return `The messaging entity '${to}' to forward to is disabled.`;
    if (!destination.hasRoomFor(transfer.content.bare.length)) return `The messaging entity '${to}' to forward to has reached its maximum size.`;
    if (transfer.content.bare.length > messageBytesMax) return `The message is larger than the ${messageBytesMax} bytes that '${to}' takes.`;
    if (target.kind === "queue" && target.queue.settings.requiresSession && transfer.content.sessionId === undefined)
      return `The message has no session id, which '${to}' requires.`;
    destination.acceptTransfer(transfer, "movedIn");
    destination.dispatch();
    return undefined;
  }
}

/** The settings of a dead-letter sub-queue: messages stay for ever, and are not counted out. */
function letterSettings(settings: QueueSettings, forwardTo: string | undefined): QueueSettings {
  return {
    ...settings,
    deliveryCountMax: Infinity,
    timeToLiveMs: Infinity,
    requiresDuplicateDetection: false,
    requiresSession: false,
    forwardTo,
    forwardDeadLettersTo: undefined,
  };
}

function* withLetters(queue: MessageQueue): Generator<MessageQueue> {
  yield queue;
  if (queue.deadLetters !== undefined) yield queue.deadLetters;
  if (queue.transferLetters !== undefined) yield queue.transferLetters;
}

/** An address without its scheme, host and outer slashes. */
export function pathOf(address: string): string {
  return address.replace(/^(?:amqps?|sb|https?):\/\/[^/]*\//i, "").replace(/^\/+|\/+$/g, "");
}
