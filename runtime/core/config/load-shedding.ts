// Which messages a worker that is over its bounds gives back, and how important events are.
import { z } from "zod";
import { type LoadSheddingPolicy, afterSheddingChoices, defaultLoadSheddingPolicy } from "../load-shedding.ts";
import { loadSheddingLimits } from "../policy-limits.ts";
import { type Priority, type PriorityRules, noPriorityRules, priorities, sheddablePriorities } from "../priority.ts";
import { byName, numbers } from "./fields.ts";

type PolicyConfig = { readonly [Key in keyof LoadSheddingPolicy]?: LoadSheddingPolicy[Key] | undefined };
type ByName = Readonly<Record<string, Priority>> | undefined;

/** `low`, `normal`, `high` or `critical`, by name; what stands first here counts. Projects of `escalation.criticalProjects` are critical. */
export interface PrioritiesConfig {
  readonly project?: ByName;
  readonly tenant?: ByName;
  readonly eventType?: ByName;
  readonly skill?: ByName;
}

/** See `LoadSheddingPolicy` for units and ranges; `enabled` is true by default where this is given. */
export interface LoadSheddingConfig extends PolicyConfig {
  /** The application property that names a message's priority, before all others; false: senders have no say. Default `priority`. */
  readonly property?: string | false | undefined;
  readonly priorities?: PrioritiesConfig | undefined;
}

export interface LoadSheddingSettings extends LoadSheddingPolicy {
  readonly property: PriorityRules["property"];
  readonly priorities: Omit<PriorityRules, "property">;
}

const policy = {
  ...numbers(loadSheddingLimits),
  enabled: z.boolean(),
  upTo: z.enum(sheddablePriorities),
  afterwards: z.enum(afterSheddingChoices),
};
const names = byName(z.enum(priorities)).default(new Map());
const defaults = defaultLoadSheddingPolicy;

export const loadSheddingSchema: z.ZodType<LoadSheddingSettings, LoadSheddingConfig> = z.strictObject({
  enabled: policy.enabled.default(true),
  upTo: policy.upTo.default(defaults.upTo),
  queueAgeMs: policy.queueAgeMs.default(defaults.queueAgeMs),
  ratio: policy.ratio.default(defaults.ratio),
  perSecondMin: policy.perSecondMin.default(defaults.perSecondMin),
  postponementsMax: policy.postponementsMax.default(defaults.postponementsMax),
  afterwards: policy.afterwards.default(defaults.afterwards),
  property: z.union([z.string().min(1).max(128), z.literal(false)]).default(noPriorityRules.property),
  priorities: z.strictObject({ project: names, tenant: names, eventType: names, skill: names }).prefault({}),
});

/** Changes while a worker runs. */
export const loadSheddingChanges: z.ZodType<PolicyConfig> = z.strictObject(policy).partial();
