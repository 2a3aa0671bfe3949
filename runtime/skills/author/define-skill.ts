import { isEventType, isVersion } from "../../core/event-envelope.ts";
import { skillRetryLimits } from "../../core/policy-limits.ts";
import { type RetryPolicy, defaultRetryPolicy } from "../../core/skill.ts";
import { checkFunction, checkNumber, checkKeys, checkName, checkOneOf, checkRetry, refuse } from "./check-options.ts";
import type { SkillContext } from "./context.ts";
import { type Dependency, isDependency } from "./define-dependency.ts";
import type { HandledPayload } from "./event-contracts.ts";
import { type PayloadSchema, checkSchema } from "./schema.ts";
import type { ResourceInfo } from "./define-resource.ts";
import { type AnyStepChain, type ChainStep, type StepChain, buildChain, runChain } from "./step-chain.ts";
import { type VersionRange, checkVersionRange } from "./version-range.ts";

/** Events that a skill handles: of one type, in some versions. */
export interface Handles {
  readonly eventType: string;
  /** `'1.x'` is every minor version of major 1, `'1.2'` that version alone. Default `'1.x'`. */
  readonly versions?: VersionRange | readonly VersionRange[];
}

/** An event that a skill emits, or replies with. */
export interface Emits {
  readonly eventType: string;
  /** `major.minor`. Default "1.0". */
  readonly version?: string;
}

/** `dedicated`: threads of its own, for work that would keep others waiting. */
export type Isolation = "shared" | "dedicated";

/** By the skill's schema, else by the contracts of what it handles. */
type SkillPayload<Payload, Handled extends readonly Handles[]> = unknown extends Payload ? HandledPayload<Handled> : Payload;

interface SkillOptionsBase<Payload, Handled extends readonly Handles[]> {
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter; unique in the worker. */
  readonly name: string;
  /** At least one event type. */
  readonly handles: Handled;
  /**
   * What the payload must be. With a JSON Schema, name the type yourself: `defineSkill<Order>({ … })`. Default: what
   * the contracts of the types say that it handles (`holdfast contracts types` writes them as types), else anything.
   */
  readonly payload?: PayloadSchema<Payload>;
  /**
   * Every event that it emits or replies with, for `holdfast contracts` to know who emits what. Where it is given, `emit` refuses another type or version. Default: any
   * event, and nobody is told which.
   */
  readonly emits?: readonly Emits[];
  /** Every dependency it calls. A run starts when each has a free slot. */
  readonly uses?: readonly Dependency[];
  /** Milliseconds one execution may take; 1 to 3 600 000, default 30 000. */
  readonly timeoutMs?: number;
  /** Runs of it that may be under way at once in a worker; 1 to 10 000, default 100 for each thread, or as many as a thread ends within 20 ms. */
  readonly concurrentMax?: number;
  readonly retry?: Partial<RetryPolicy>;
  /**
   * Called in each thread before it takes runs, and waited for: what the first run would wait for (a model, a table, compiled
   * schemas) is loaded here. It is given settings and resources. What it throws keeps the thread from starting.
   */
  readonly warmUp?: (info: ResourceInfo) => unknown;
  /** Default `shared`. */
  readonly isolation?: Isolation;
  /** A run that fails for good has its steps compensated, the last one first; see `compensate` of a step. Default false. */
  readonly critical?: boolean;
}

/** What `defineSkill` takes: either `run` or `steps`. The configuration, `skills.NAME`, goes before it. */
export type SkillOptions<Payload, Handled extends readonly Handles[] = readonly Handles[]> = SkillOptionsBase<Payload, Handled> &
  (
    | {
        /** What it does with an event. Run from its beginning after a crash, with the results of the steps that are recorded. */
        readonly run: (context: SkillContext<SkillPayload<Payload, Handled>>) => unknown;
        readonly steps?: never;
      }
    | {
        /** Its steps one after the other, each with the results of those before it. */
        readonly steps: (begin: StepChain<SkillPayload<Payload, Handled>>) => AnyStepChain;
        readonly run?: never;
      }
  );

/** What handles events of some types. Made by `defineSkill`. */
export interface Skill<Payload = never> {
  readonly kind: "holdfast.skill";
  readonly name: string;
  readonly handles: readonly { readonly eventType: string; readonly versions: readonly string[] }[];
  /** Undefined for any. */
  readonly emits: readonly { readonly eventType: string; readonly version: string }[] | undefined;
  readonly payload: PayloadSchema<unknown> | undefined;
  readonly uses: readonly Dependency[];
  readonly timeoutMs: number;
  /** Undefined for the default. */
  readonly concurrentMax: number | undefined;
  readonly retry: RetryPolicy;
  /** Undefined for none. */
  readonly warmUp: ((info: ResourceInfo) => unknown) | undefined;
  readonly isolation: Isolation;
  readonly critical: boolean;
  /** Empty for a skill written as `run`. */
  readonly steps: readonly ChainStep[];
  /** What it does; of a chain, its steps one after the other. */
  readonly run: (context: SkillContext<Payload>) => unknown;
}

/** Milliseconds that one execution of a skill may take that does not say it. */
export const defaultSkillTimeoutMs = 30_000;
/** Versions of its events that a skill handles that does not say it: all of major 1. */
export const defaultVersions = "1.x";
/** Of an event that does not say. */
export const defaultEmittedVersion = "1.0";
/** Where a skill runs that does not say it: on the threads that skills share. */
export const defaultIsolation: Isolation = "shared";

const timeoutRange = { min: 1, max: 3_600_000 };
const concurrentRange = { min: 1, max: 10_000 };
const knownKeys = ["name", "handles", "emits", "payload", "uses", "timeoutMs", "concurrentMax", "retry", "warmUp", "isolation", "critical", "run", "steps"];

function checkHandles(owner: string, handles: unknown): Skill["handles"] {
  if (!Array.isArray(handles) || handles.length === 0) refuse(`${owner}.handles`, "at least one { eventType, versions }", handles);
  return handles.map((entry: unknown, index) => {
    const place = `${owner}.handles[${index}]`;
    checkKeys(place, entry, ["eventType", "versions"]);
    const { eventType, versions = defaultVersions } = entry;
    if (!isEventType(eventType)) refuse(`${place}.eventType`, "1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", eventType);
    const list: readonly unknown[] = Array.isArray(versions) ? versions : [versions];
    if (list.length === 0) refuse(`${place}.versions`, "at least one version", versions);
    return { eventType, versions: list.map((range) => checkVersionRange(`${place}.versions`, range)) };
  });
}

function checkEmits(owner: string, emits: unknown): Skill["emits"] {
  if (emits === undefined) return undefined;
  if (!Array.isArray(emits)) refuse(`${owner}.emits`, "a list of { eventType, version }", emits);
  return emits.map((entry: unknown, index) => {
    const place = `${owner}.emits[${index}]`;
    checkKeys(place, entry, ["eventType", "version"]);
    const { eventType, version = defaultEmittedVersion } = entry;
    if (!isEventType(eventType)) refuse(`${place}.eventType`, "1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", eventType);
    if (!isVersion(version)) refuse(`${place}.version`, "a version such as '1.0'", version);
    return { eventType, version };
  });
}

function checkUses(owner: string, uses: unknown): readonly Dependency[] {
  if (uses === undefined) return [];
  if (!Array.isArray(uses)) refuse(`${owner}.uses`, "a list of dependencies", uses);
  const names = new Set<string>();
  return uses.map((dependency: unknown) => {
    if (!isDependency(dependency)) refuse(`${owner}.uses`, "dependencies made by defineDependency", dependency);
    if (names.has(dependency.name)) refuse(`${owner}.uses`, "each dependency once", dependency.name);
    names.add(dependency.name);
    return dependency;
  });
}

/**
 * Defines a skill: which events it handles, what their payload is, what it calls, and what it does, either as `run` or as a
 * chain of `steps`. The payload's type flows from its schema into `context.event.payload`. Throws `ConfigurationError`.
 */
export function defineSkill<Payload = unknown, const Handled extends readonly Handles[] = readonly Handles[]>(
  options: SkillOptions<Payload, Handled>,
): Skill<SkillPayload<Payload, Handled>> {
  checkKeys("skill", options, knownKeys);
  const name = checkName("skill.name", options.name);
  const owner = `skill '${name}'`;
  const { run, steps: build } = options;
  if ((run === undefined) === (build === undefined)) refuse(owner, "either run or steps", run === undefined ? "neither" : "both");
  checkFunction(`${owner}.${run === undefined ? "steps" : "run"}`, run ?? build);
  if (options.payload !== undefined) checkSchema(`${owner}.payload`, options.payload);
  if (options.warmUp !== undefined) checkFunction(`${owner}.warmUp`, options.warmUp);
  const { critical = false } = options;
  if (typeof critical !== "boolean") refuse(`${owner}.critical`, "true or false", critical);
  const steps = build === undefined ? [] : buildChain(owner, critical, build);
  return Object.freeze<Skill<SkillPayload<Payload, Handled>>>({
    kind: "holdfast.skill",
    name,
    handles: checkHandles(owner, options.handles),
    emits: checkEmits(owner, options.emits),
    payload: options.payload,
    uses: checkUses(owner, options.uses),
    concurrentMax: options.concurrentMax === undefined ? undefined : checkNumber(`${owner}.concurrentMax`, options.concurrentMax, concurrentRange),
    timeoutMs: options.timeoutMs === undefined ? defaultSkillTimeoutMs : checkNumber(`${owner}.timeoutMs`, options.timeoutMs, timeoutRange),
    retry: checkRetry(`${owner}.retry`, options.retry, defaultRetryPolicy, skillRetryLimits),
    warmUp: options.warmUp,
    isolation: options.isolation === undefined ? defaultIsolation : checkOneOf(`${owner}.isolation`, options.isolation, ["shared", "dedicated"]),
    critical,
    steps,
    run: run ?? ((context) => runChain(steps, context)),
  });
}

export function isSkill(value: unknown): value is Skill {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "holdfast.skill";
}
