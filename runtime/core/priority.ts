/**
 * How important an event is among others, for when not all of them can be run soon. The levels are few and mean the same everywhere,
 * as those of Google's criticality (Beyer et al., "Site Reliability Engineering", chapter 21, 2016).
 */

/** From what may wait longest to what never does. */
export const priorities = ["low", "normal", "high", "critical"] as const;

export type Priority = (typeof priorities)[number];

/** What has no priority of its own. */
export const defaultPriority: Priority = "normal";

/** What may be shed; what is critical never is. */
export const sheddablePriorities = ["low", "normal", "high"] as const;

export type SheddablePriority = (typeof sheddablePriorities)[number];

/** Where an event's priority is read; what comes first here counts. */
export interface PriorityRules {
  /** The application property that names it; false where senders have no say. */
  readonly property: string | false;
  readonly project: ReadonlyMap<string, Priority>;
  readonly tenant: ReadonlyMap<string, Priority>;
  readonly eventType: ReadonlyMap<string, Priority>;
  readonly skill: ReadonlyMap<string, Priority>;
}

export const noPriorityRules: PriorityRules = { property: "priority", project: new Map(), tenant: new Map(), eventType: new Map(), skill: new Map() };

const known: ReadonlyMap<unknown, Priority> = new Map(priorities.map((priority) => [priority, priority]));

/** Undefined for everything that is none. */
export function asPriority(value: unknown): Priority | undefined {
  return known.get(value);
}
