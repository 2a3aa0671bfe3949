// Entities as a configuration describes them, whatever its form.
import type { RuleDescription } from "../filters/rules.ts";
import type { QueueSettings, TopicSettings } from "./settings.ts";

export interface QueueConfig extends Partial<QueueSettings> {
  readonly name: string;
}

export interface SubscriptionConfig extends Partial<QueueSettings> {
  readonly name: string;
  /** Default: one that selects every message. */
  readonly rules?: readonly RuleDescription[];
}

export interface TopicConfig extends Partial<TopicSettings> {
  readonly name: string;
  readonly subscriptions: readonly SubscriptionConfig[];
}

export interface EntitiesConfig {
  readonly queues: readonly QueueConfig[];
  readonly topics: readonly TopicConfig[];
}
