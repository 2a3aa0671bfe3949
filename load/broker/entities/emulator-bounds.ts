// How many of everything the vendor's emulator has, as its documentation says, and the settings that it fixes, for those who want
// to be held to them. What can be chosen there within bounds is in setting-bounds.ts.
import { BrokerConfigError } from "./config-checks.ts";
import type { EntitiesConfig } from "./entities-config.ts";
import type { RuleDescription } from "../filters/rules.ts";

/** What the emulator bounds of one namespace, whoever makes its entities. */
export interface Bounds {
  /** Queues and topics. */
  readonly entitiesMax: number;
  /** Of one topic. */
  readonly subscriptionsMax: number;
  /** Rules with a SQL filter, of all subscriptions of one topic. */
  readonly sqlRulesMax: number;
  /** Rules with a correlation filter, of all subscriptions of one topic. */
  readonly correlationRulesMax: number;
  /** AMQP connections at one time. */
  readonly connectionsMax: number;
  /** Receivers of one queue, subscription or sub-queue at one time. */
  readonly receiversMax: number;
}

export const noBounds: Bounds = {
  entitiesMax: Infinity,
  subscriptionsMax: Infinity,
  sqlRulesMax: Infinity,
  correlationRulesMax: Infinity,
  connectionsMax: Infinity,
  receiversMax: Infinity,
};

export const emulatorBounds: Bounds = {
  entitiesMax: 50,
  subscriptionsMax: 50,
  sqlRulesMax: 20,
  correlationRulesMax: 1000,
  connectionsMax: 10,
  receiversMax: 200,
};

/** Settings that cannot be chosen. */
const fixed: { readonly messageBytesMax: number; readonly sizeMegabytesMax: number } = { messageBytesMax: 256 * 1024, sizeMegabytesMax: 100 };

/** Where nothing was chosen. */
const defaults = { timeToLiveMs: 3_600_000, duplicateWindowMs: 300_000 };

/** Settings as the emulator has them: what cannot be chosen is fixed, and what was not chosen is within its bounds. */
export function asEmulated<T extends object>(settings: T): T {
  return { ...defaults, ...settings, ...fixed };
}

/** How many of a topic's rules have a filter of a kind; rules that select everything or nothing do not count. */
export function countRules(rules: Iterable<RuleDescription>, kind: "sql" | "correlation"): number {
  let count = 0;
  for (const { filter } of rules) if (filter.kind === kind) count++;
  return count;
}

/** @throws BrokerConfigError when there is more of something than the emulator has */
export function checkCounts({ queues, topics }: EntitiesConfig): void {
  const { entitiesMax, subscriptionsMax, sqlRulesMax, correlationRulesMax } = emulatorBounds;
  if (queues.length + topics.length > entitiesMax)
    throw new BrokerConfigError("configuration", `at most ${entitiesMax} queues and topics`, queues.length + topics.length);
  for (const { name, subscriptions } of topics) {
    if (subscriptions.length > subscriptionsMax) throw new BrokerConfigError(name, `at most ${subscriptionsMax} subscriptions`, subscriptions.length);
    const rules = subscriptions.flatMap(({ rules: of = [] }) => of);
    const [sql, correlation] = [countRules(rules, "sql"), countRules(rules, "correlation")];
    if (sql > sqlRulesMax) throw new BrokerConfigError(name, `at most ${sqlRulesMax} rules with a SQL filter`, sql);
    if (correlation > correlationRulesMax) throw new BrokerConfigError(name, `at most ${correlationRulesMax} rules with a correlation filter`, correlation);
  }
}
