// Skills and dependencies made ready in a thread: schemas compiled, configuration laid over definitions.
import type { Config } from "../../core/config.ts";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import type { CircuitPolicy } from "../../core/skill.ts";
import { type CallRetry, type CallTimeouts, type Dependency, type GenerativeAi, type RequestFunction, checkBaseUrl } from "../author/define-dependency.ts";
import type { ResourceInfo } from "../author/define-resource.ts";
import type { Skill } from "../author/define-skill.ts";
import { CallSites } from "./call-sites.ts";
import { withSchemas } from "./call-schemas.ts";
import { type CheckPayload, compilePayloadCheck } from "./payload.ts";
import { configuredDependency } from "./registry.ts";
import type { SlowStart } from "./start-times.ts";

/** What the configuration says of dependencies. */
export interface DependencySettings {
  /** In the order that gives them their numbers; what is not named here comes after. */
  readonly numbered: readonly string[];
  readonly config: Config["dependencies"];
}

/** How the calls of a dependency that is limited are counted. */
export type PreparedLimits = Pick<Dependency, "estimatedTokens" | "tokensOf">;

export interface PreparedDependency {
  readonly name: string;
  /** Its place in the list of circuits. */
  readonly number: number;
  readonly timeouts: CallTimeouts;
  readonly circuit: Pick<CircuitPolicy, "counts" | "slowCallMs">;
  readonly retry: CallRetry;
  /** Undefined when nothing limits it. */
  readonly limits: PreparedLimits | undefined;
  /** Undefined where it is no generative model. */
  readonly generativeAi: GenerativeAi | undefined;
  /** Where an HTTP dependency is; undefined for another. */
  readonly server: { readonly address: string; readonly port: number } | undefined;
  readonly request: RequestFunction<unknown, unknown>;
}

export interface PreparedSkill {
  readonly skill: Skill;
  /** Its plugin's, for telling where in the plugin something was thrown. */
  readonly folder: string | undefined;
  readonly checkPayload: CheckPayload;
  /** By name. */
  readonly dependencies: ReadonlyMap<string, PreparedDependency>;
  readonly callSites: CallSites;
}

async function prepareDependency(dependency: Dependency, number: number): Promise<PreparedDependency> {
  const { name, schemas } = dependency;
  const prepared = await preparePlain(dependency, number);
  return schemas === undefined ? prepared : { ...prepared, request: await withSchemas(name, schemas, prepared.request) };
}

async function preparePlain(dependency: Dependency, number: number): Promise<PreparedDependency> {
  const { name, timeouts, circuit, retry, baseUrl, responseBytesMax, bulkhead, limits, estimatedTokens, tokensOf, generativeAi } = dependency;
  const prepared = {
    name,
    number,
    timeouts,
    circuit,
    retry,
    limits: limits.length === 0 ? undefined : { estimatedTokens, tokensOf },
    generativeAi,
    server: undefined,
  };
  if (dependency.request !== undefined) return { ...prepared, request: dependency.request as unknown as RequestFunction<unknown, unknown> };
  if (baseUrl === undefined) {
    throw new ConfigurationError(
      `dependency '${name}': expected a base URL in its definition or in dependencies.${name}.baseUrl of the configuration, got neither`,
    );
  }
  const url = checkBaseUrl(`dependency '${name}'.baseUrl`, baseUrl);
  // Only a thread that calls over HTTP loads the client.
  const { makeHttpRequest } = await import("./http-request.ts");
  const request = makeHttpRequest({ name, baseUrl: url, timeouts, responseBytesMax, connectionsMax: bulkhead.concurrentMax });
  const { hostname: address, port, protocol } = new URL(url);
  const server = { address, port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port) };
  return { ...prepared, server, request: request as unknown as RequestFunction<unknown, unknown> };
}

/** Does a part of making a skill ready, and may take its time. */
export type TimeSkillPart = <Result>(skill: string, part: SlowStart["part"], work: () => Promise<Result> | Result) => Promise<Result>;

/** What a thread has for the skills that it makes ready. */
export interface ThreadOfSkills {
  /** Knows a skill's plugin's folder by the skill's name. */
  readonly folderOf?: (skill: string) => string | undefined;
  /** For what is done before the first run. */
  readonly info: ResourceInfo;
}

/** What a skill needs before its first run; throws `ConfigurationError` when it cannot be had. */
async function warmUp(skill: Skill, info: ResourceInfo): Promise<void> {
  try {
    await skill.warmUp?.(info);
  } catch (error) {
    throw new ConfigurationError(`skill '${skill.name}': expected its warmUp to end well, it threw: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Makes skills ready, to the point that their first run costs what the others do; throws `ConfigurationError` when one cannot be.
 */
export async function prepareSkills(
  skills: readonly Skill[],
  settings: DependencySettings,
  time: TimeSkillPart,
  { folderOf = () => undefined, info }: ThreadOfSkills,
): Promise<Map<string, PreparedSkill>> {
  const numbers = new Map(settings.numbered.map((name, number) => [name, number]));
  const dependencies = new Map<string, PreparedDependency>();
  for (const dependency of skills.flatMap(({ uses }) => uses)) {
    const { name } = dependency;
    if (dependencies.has(name)) continue;
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    dependencies.set(name, await prepareDependency(configuredDependency(dependency, settings.config.get(name)), number));
  }
  const prepared = new Map<string, PreparedSkill>();
  for (const skill of skills) {
    const uses = skill.uses.map(({ name }) => [name, dependencies.get(name) as PreparedDependency] as const);
    const checkPayload = await time(skill.name, "payload schema", () => compilePayloadCheck(`skill '${skill.name}'`, skill.payload));
    await time(skill.name, "warmUp", () => warmUp(skill, info));
    prepared.set(skill.name, { skill, folder: folderOf(skill.name), checkPayload, dependencies: new Map(uses), callSites: new CallSites(skill.steps) });
  }
  return prepared;
}
