/** How important events are, and what is shed by that. */
import type { Config } from "../core/config.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { LoadSheddingPolicy } from "../core/load-shedding.ts";
import { didYouMean } from "../core/near-name.ts";
import type { Priority, PriorityRules } from "../core/priority.ts";
import type { WorkerOptions } from "../pipeline/lifecycle.ts";
import type { SkillRegistry } from "../skills/host/registry.ts";

/** What a worker is given for it. */
export function composeShedding(
  config: Pick<Config, "loadShedding" | "escalation">,
  registry: Pick<SkillRegistry, "skills" | "handled">,
): Required<Pick<WorkerOptions, "loadShedding" | "priorities">> {
  return { loadShedding: sheddingOf(config), priorities: composePriorities(config, registry) };
}

export function sheddingOf({ loadShedding }: Pick<Config, "loadShedding">): LoadSheddingPolicy {
  const { property: _property, priorities: _priorities, ...policy } = loadShedding;
  return policy;
}

/** Projects that are critical for escalations are so here, unless the configuration says otherwise. Throws `ConfigurationError` for names that no plugin has. */
export function composePriorities(
  { loadShedding, escalation }: Pick<Config, "loadShedding" | "escalation">,
  registry: Pick<SkillRegistry, "skills" | "handled">,
): PriorityRules {
  const { property, priorities } = loadShedding;
  checkNames(
    "skill",
    priorities.skill,
    registry.skills.map(({ name }) => name),
  );
  checkNames("eventType", priorities.eventType, [...registry.handled.keys()]);
  const critical = (escalation?.criticalProjects ?? []).map((project): [string, Priority] => [project, "critical"]);
  return { ...priorities, property, project: new Map([...critical, ...priorities.project]) };
}

function checkNames(what: "skill" | "eventType", named: ReadonlyMap<string, Priority>, known: readonly string[]): void {
  for (const name of named.keys()) {
    if (known.includes(name)) continue;
    throw new ConfigurationError(
      `loadShedding.priorities.${what}.${name}: expected one that a listed plugin has (${known.join(", ") || "none"}), got '${name}'${didYouMean(name, known)}`,
    );
  }
}
