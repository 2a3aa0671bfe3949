/** All skills and dependencies of a worker, with what the configuration changes of them. */
import { hash } from "node:crypto";
import type { Config, DependencyConfig, SkillConfig } from "../../core/config.ts";
import { given } from "../../core/given.ts";
import { ConfigurationError } from "../../core/errors.ts";
import { didYouMean } from "../../core/near-name.ts";
import type { RunKind } from "../../core/run.ts";
import type { DependencyPolicy, SkillPolicy, SkillTable } from "../../core/skill.ts";
import { type Dependency, checkCircuitFits, defaultCallTimeouts, fitTimeouts } from "../author/define-dependency.ts";
import type { Skill } from "../author/define-skill.ts";
import type { UpcastTable } from "./event-contracts.ts";
import type { LoadedPlugin } from "./plugins.ts";
import { rangesOverlap, versionInRange } from "../author/version-range.ts";

interface Handler {
  readonly versions: readonly string[];
  readonly policy: SkillPolicy;
}

/** A skill with where it comes from, for whoever asks what is registered. */
export interface RegisteredSkill {
  readonly name: string;
  readonly handles: Skill["handles"];
  readonly emits: Skill["emits"];
  readonly uses: readonly string[];
  readonly timeoutMs: number;
  readonly concurrentMax?: number | undefined;
  readonly retry: SkillPolicy["retry"];
  readonly isolation: Skill["isolation"];
  readonly plugin: { readonly name: string; readonly version: string; readonly folder: string; readonly listedAs: string };
}

const pipelineHashLength = 16;

/**
 * Another for each type of event; changes when the skill's steps do: over the names and kinds of a chain, or over the text of `run`, which may be a change that
 * leaves the steps as they are; then recorded steps still fit, and the run goes on.
 */
export function pipelineHashOf(skill: Skill, eventType: string): string {
  const shape = skill.steps.length > 0 ? skill.steps.map(({ name, kind }) => [name, kind]) : skill.run.toString();
  return hash("sha256", JSON.stringify([skill.name, eventType, shape])).slice(0, pipelineHashLength);
}

/** The dependency as the configuration wants it. */
export function configuredDependency(dependency: Dependency, config: DependencyConfig | undefined): Dependency {
  if (config === undefined) return dependency;
  return {
    ...dependency,
    baseUrl: config.baseUrl ?? dependency.baseUrl,
    bulkhead: { ...dependency.bulkhead, ...given(config.bulkhead) },
    circuit: configuredCircuit(dependency, config),
    timeouts: fitTimeouts(`dependencies.${dependency.name}.timeouts`, { ...dependency.timeouts, ...given(config.timeouts) }, config.timeouts ?? {}),
    retry: { ...dependency.retry, ...given(config.retry) },
    limits: config.limits ?? dependency.limits,
    concurrency: config.concurrency ?? dependency.concurrency,
    estimatedTokens: config.estimatedTokens ?? dependency.estimatedTokens,
  };
}

function configuredCircuit({ name, circuit }: Dependency, config: DependencyConfig): Dependency["circuit"] {
  const configured = { ...circuit, ...given(config.circuit) };
  checkCircuitFits(`dependencies.${name}.circuit`, configured);
  return configured;
}

/** Throws `ConfigurationError` for an HTTP dependency that nobody gave a base URL. */
export function checkBaseUrls(plugins: readonly LoadedPlugin[], config: Pick<Config, "dependencies">): void {
  for (const { name, request, baseUrl } of plugins.flatMap((plugin) => plugin.dependencies)) {
    if (request !== undefined || baseUrl !== undefined || config.dependencies.get(name)?.baseUrl !== undefined) continue;
    throw new ConfigurationError(
      `dependency '${name}': expected a base URL in its definition or in dependencies.${name}.baseUrl of the configuration, got neither`,
    );
  }
}

export class SkillRegistry implements SkillTable {
  /** A dependency's place here is its number. */
  readonly dependencies: readonly DependencyPolicy[];
  readonly skills: readonly RegisteredSkill[];
  readonly policies: readonly SkillPolicy[];
  /** What runs that begin here are recorded as. */
  readonly kinds: readonly RunKind[];
  readonly handled: ReadonlyMap<string, readonly string[]>;
  readonly #handlers = new Map<string, Handler[]>();
  readonly #upcasts: UpcastTable | undefined;

  /** Throws `ConfigurationError` when two skills handle one event, or the configuration names what no plugin defines. `upcasts`: what else a skill can be given. */
  constructor(plugins: readonly LoadedPlugin[], config: Pick<Config, "dependencies" | "skills">, upcasts?: UpcastTable) {
    this.#upcasts = upcasts;
    // One that plugins share is one bulkhead and one circuit.
    const dependencies = [...new Set(plugins.flatMap((plugin) => plugin.dependencies))];
    const skills = plugins.flatMap((plugin) => plugin.skills.map((skill) => ({ plugin, skill })));
    checkNames(
      "dependencies",
      [...config.dependencies.keys()],
      dependencies.map(({ name }) => name),
    );
    checkNames(
      "skills",
      [...config.skills.keys()],
      skills.flatMap(({ plugin, skill }) => (plugin.isBuiltIn === true ? [] : [skill.name])),
    );
    const configured = dependencies.map((dependency) => configuredDependency(dependency, config.dependencies.get(dependency.name)));
    this.dependencies = configured.map(({ estimatedTokens, ...dependency }) => ({
      ...dependency,
      estimatedTokens: typeof estimatedTokens === "number" ? estimatedTokens : undefined,
    }));
    const numbers = new Map(dependencies.map(({ name }, index) => [name, index]));
    const policies: SkillPolicy[] = [];
    const kinds: RunKind[] = [];
    const ownTypes = new Set<string>();
    this.policies = policies;
    this.kinds = kinds;
    this.skills = skills.flatMap(({ plugin, skill }) => {
      const policy = policyOf(skill, plugin.version, config.skills.get(skill.name), numbers);
      checkCallTimes(policy, configured);
      checkFallbackTimes(skill, policy.timeoutMs);
      for (const eventType of new Set(skill.handles.map((one) => one.eventType))) {
        const ofType = { ...policy, pipelineHash: pipelineHashOf(skill, eventType) };
        if (plugin.isBuiltIn === true) ownTypes.add(eventType);
        else policies.push(ofType);
        kinds.push(kindOf(skill, ofType, eventType));
        this.#handle(skill, ofType, eventType);
      }
      const { name, version, folder, listedAs } = plugin;
      const { handles, emits, isolation } = skill;
      if (plugin.isBuiltIn === true) return [];
      return [{ ...policy, handles, emits, isolation, uses: skill.uses.map((dependency) => dependency.name), plugin: { name, version, folder, listedAs } }];
    });
    const listed = [...this.#handlers].filter(([eventType]) => !ownTypes.has(eventType));
    this.handled = new Map(listed.map(([eventType, handlers]) => [eventType, handlers.flatMap(({ versions }) => versions)]));
  }

  /** What was found last: one producer sends the same again and again. */
  #last: { readonly eventType: string; readonly version: string; readonly policy: SkillPolicy } | undefined;

  find(eventType: string, version: string): SkillPolicy | "unknown-type" | "unsupported-version" {
    const last = this.#last;
    if (last !== undefined && last.eventType === eventType && last.version === version) return last.policy;
    const handlers = this.#handlers.get(eventType);
    if (handlers === undefined) return "unknown-type";
    const policy = handlerOf(handlers, version) ?? this.#handlerAfterUpcast(handlers, eventType, version);
    if (policy === undefined) return "unsupported-version";
    this.#last = { eventType, version, policy };
    return policy;
  }

  /** What handles the nearest later version that upcasters make of it. */
  #handlerAfterUpcast(handlers: readonly Handler[], eventType: string, version: string): SkillPolicy | undefined {
    for (const later of this.#upcasts?.reach(eventType, version) ?? []) {
      const policy = handlerOf(handlers, later);
      if (policy !== undefined) return policy;
    }
    return undefined;
  }

  #handle(skill: Skill, policy: SkillPolicy, type: string): void {
    for (const { eventType, versions } of skill.handles) {
      if (eventType !== type) continue;
      const handlers = this.#handlers.get(eventType) ?? [];
      for (const other of handlers) {
        const both = versions.find((range) => other.versions.some((taken) => rangesOverlap(range, taken)));
        if (both === undefined) continue;
        throw new ConfigurationError(
          `expected one skill for each event type and version, found '${other.policy.name}' and '${skill.name}' for ${eventType} ${both}; unlist one, or give them versions that do not overlap`,
        );
      }
      handlers.push({ versions, policy });
      this.#handlers.set(eventType, handlers);
    }
  }
}

function handlerOf(handlers: readonly Handler[], version: string): SkillPolicy | undefined {
  return handlers.find(({ versions }) => versions.some((range) => versionInRange(version, range)))?.policy;
}

function kindOf({ name, steps, critical }: Skill, { version, pipelineHash }: SkillPolicy, eventType: string): RunKind {
  return { pipelineHash, skill: name, skillVersion: version, eventType, steps: steps.map((step) => step.name), critical };
}

function policyOf(skill: Skill, version: string, config: SkillConfig | undefined, numbers: ReadonlyMap<string, number>): Omit<SkillPolicy, "pipelineHash"> {
  return {
    name: skill.name,
    version,
    timeoutMs: config?.timeoutMs ?? skill.timeoutMs,
    concurrentMax: config?.concurrentMax ?? skill.concurrentMax,
    retry: { ...skill.retry, ...given(config?.retry) },
    uses: skill.uses.map(({ name }) => numbers.get(name) ?? -1),
    critical: skill.critical,
    ...(skill.isolation === "dedicated" ? { hasOwnThreads: true } : {}),
  };
}

/** A call ends before the run around it does; the default is cut short by the run's end. */
function checkCallTimes({ name, timeoutMs, uses }: Omit<SkillPolicy, "pipelineHash">, dependencies: readonly Dependency[]): void {
  for (const number of uses) {
    const dependency = dependencies[number];
    const totalMs = dependency?.timeouts.totalMs ?? 0;
    if (totalMs < timeoutMs || totalMs === defaultCallTimeouts.totalMs) continue;
    throw new ConfigurationError(
      `dependency '${dependency?.name}'.timeouts.totalMs: expected less than the timeoutMs of skill '${name}', which uses it (${timeoutMs}), got ${totalMs}; shorten the call or give the skill more time`,
    );
  }
}

/** The same of a chain's fallbacks; those of a skill written as `run` are known when it runs, and end with it. */
function checkFallbackTimes({ name, steps }: Skill, timeoutMs: number): void {
  for (const step of steps) {
    const late = step.fallbacks?.find((fallback) => (fallback.timeoutMs ?? 0) >= timeoutMs);
    if (late === undefined) continue;
    throw new ConfigurationError(
      `skill '${name}' step '${step.name}' fallback '${late.name}'.timeoutMs: expected less than the timeoutMs of its skill (${timeoutMs}), got ${late.timeoutMs}; shorten it or give the skill more time`,
    );
  }
}

function checkNames(key: string, named: readonly string[], defined: readonly string[]): void {
  for (const name of named) {
    if (!defined.includes(name))
      throw new ConfigurationError(
        `${key}.${name}: expected a name that a listed plugin defines (${defined.join(", ") || "none"}), got '${name}'${didYouMean(name, defined)}`,
      );
  }
}
