// Skills written as a chain of steps, each typed by what the ones before it returned.
// By its default export: too old a Node has no such function, and is to be told so in our words.
import util, { type CallSiteObject } from "node:util";
import type { StepKind, StepQuality } from "../../core/run.ts";
import { checkFunction, checkNumber, checkKeys, checkName, checkOneOf, refuse } from "./check-options.ts";
import type { Compensate, Fallback, FallbackRules, SkillContext, StepContext, StepOptions, TransactionalOptions } from "./context.ts";
import type { SkillError } from "./errors.ts";
import type { TransactionalDatabase } from "./transactional.ts";

type Awaitable<Result> = Promise<Result> | Result;

/** As `Fallback`, given the results of the steps before. */
export interface ChainFallback<Result, Payload, Results> extends FallbackRules<Payload> {
  /** Gives the result in the effect's place. */
  readonly answer: (step: StepContext<Payload>, error: SkillError, results: Readonly<Results>) => Awaitable<NoInfer<Result>>;
}

export type ChainStepOptions<Result, Payload, Results> = { readonly fallbacks?: readonly ChainFallback<Result, Payload, Results>[] } & (
  | { readonly kind?: Exclude<StepKind, "queryable">; readonly compensate?: Compensate<NoInfer<Result>, Payload> }
  | {
      readonly kind: "queryable";
      readonly compensate?: Compensate<NoInfer<Result>, Payload>;
      readonly query: (step: StepContext<Payload>, results: Readonly<Results>) => Awaitable<NoInfer<Result> | undefined>;
    }
);

/** As `TransactionalOptions`, with fallbacks that are given the results of the steps before. */
export interface ChainTransactionalOptions<Result, Transaction, Payload, Results> extends Omit<
  TransactionalOptions<Result, Transaction, Payload>,
  "fallbacks"
> {
  readonly fallbacks?: readonly ChainFallback<Result, Payload, Results>[];
}

/** A chain of steps, whatever they are. */
export interface AnyStepChain {
  readonly kind: "holdfast.steps";
}

/** A chain of steps; `Results` maps the names of those before to what they returned. */
export interface StepChain<Payload, Results = unknown> extends AnyStepChain {
  /** The chain with one more step at its end, `keyed` without options. Its name must be new in the chain. */
  step<const Name extends string, Result>(
    name: Name extends keyof Results ? never : Name,
    effect: (step: StepContext<Payload>, results: Readonly<Results>) => Awaitable<Result>,
  ): StepChain<Payload, Results & { readonly [Key in Name]: Result }>;
  /** As above, with a kind, fallbacks or a compensation. */
  step<const Name extends string, Result>(
    name: Name extends keyof Results ? never : Name,
    options: ChainStepOptions<Result, Payload, Results>,
    effect: (step: StepContext<Payload>, results: Readonly<Results>) => Awaitable<Result>,
  ): StepChain<Payload, Results & { readonly [Key in Name]: Result }>;
  /** As above, of the kind `transactional`: the effect and the record of it are one transaction. */
  step<const Name extends string, Result, Transaction>(
    name: Name extends keyof Results ? never : Name,
    options: ChainTransactionalOptions<Result, Transaction, Payload, Results>,
    effect: (step: StepContext<Payload>, results: Readonly<Results>, transaction: Transaction) => Awaitable<Result>,
  ): StepChain<Payload, Results & { readonly [Key in Name]: Result }>;
}

export interface ChainStep {
  readonly name: string;
  readonly kind: StepKind;
  readonly query: ((step: StepContext<never>, results: never) => unknown) | undefined;
  readonly compensate: Compensate<never, never> | undefined;
  readonly database: TransactionalDatabase<unknown> | undefined;
  readonly effect: (step: StepContext<never>, results: never, transaction?: never) => unknown;
  readonly fallbacks: readonly ChainFallback<unknown, never, never>[] | undefined;
  /** Where the chain was given it. */
  readonly sites: readonly CallSiteObject[];
}

export const stepsMax = 100;
export const stepKinds: readonly StepKind[] = ["keyed", "queryable", "idempotent", "atMostOnce"];
const stepNamePattern = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;

export function checkStepName(owner: string, name: unknown): string {
  if (typeof name !== "string" || !stepNamePattern.test(name)) {
    refuse(owner, "a step name of 1 to 128 characters of A-Z a-z 0-9 . _ : / - beginning with a letter or digit", name);
  }
  return name;
}

export const fallbacksMax = 10;
const qualities: readonly StepQuality[] = ["full", "degraded", "template", "cached"];
const fallbackKeys = ["name", "quality", "when", "whenUnknown", "timeoutMs", "answer"];

function checkFallbacks(owner: string, fallbacks: unknown): void {
  if (!Array.isArray(fallbacks) || fallbacks.length === 0 || fallbacks.length > fallbacksMax)
    refuse(owner, `a list of 1 to ${fallbacksMax} fallbacks, in their order`, fallbacks);
  const names = new Set<string>();
  for (const [index, fallback] of fallbacks.entries()) {
    const place = `${owner}[${index}]`;
    checkKeys(place, fallback, fallbackKeys);
    const name = checkName(`${place}.name`, fallback["name"]);
    if (names.has(name)) refuse(owner, "each fallback's name once", name);
    names.add(name);
    checkOneOf(`${place}.quality`, fallback["quality"], qualities);
    checkFunction(`${place}.answer`, fallback["answer"]);
    if (fallback["when"] !== undefined) checkFunction(`${place}.when`, fallback["when"]);
    const { whenUnknown, timeoutMs } = fallback;
    if (whenUnknown !== undefined && typeof whenUnknown !== "boolean") refuse(`${place}.whenUnknown`, "true or false", whenUnknown);
    if (timeoutMs !== undefined) checkNumber(`${place}.timeoutMs`, timeoutMs, { min: 1, max: 600_000 });
  }
}

const optionKeys = ["kind", "query", "database", "compensate", "fallbacks"];
const optionKinds = [...stepKinds, "transactional"] as const;

/** Refuses options that no step can have; returns its kind. */
export function checkStepOptions(owner: string, options: unknown, isCritical: boolean): StepKind {
  checkKeys(owner, options, optionKeys);
  if (options["compensate"] !== undefined) {
    checkFunction(`${owner}.compensate`, options["compensate"]);
    if (!isCritical) refuse(`${owner}.compensate`, "it only in a skill with critical: true", "critical: false");
  }
  if (options["fallbacks"] !== undefined) checkFallbacks(`${owner}.fallbacks`, options["fallbacks"]);
  const kind = options["kind"] === undefined ? "keyed" : checkOneOf(`${owner}.kind`, options["kind"], optionKinds);
  if (kind === "queryable") checkFunction(`${owner}.query`, options["query"]);
  else if (options["query"] !== undefined) refuse(`${owner}.query`, "it only with kind 'queryable'", kind);
  if (kind !== "transactional") {
    if (options["database"] !== undefined) refuse(`${owner}.database`, "it only with kind 'transactional'", kind);
    return kind;
  }
  const { database } = options;
  if (typeof (database as Partial<TransactionalDatabase<unknown>> | null | undefined)?.once !== "function")
    refuse(`${owner}.database`, "a database whose transactions hold steps, as fromPool of holdfast/postgres makes one", database);
  // The database honours the step's key: it is recorded as what it is to the run.
  return "keyed";
}

/** A step's arguments after its name: its options, which may be left out, and its effect. */
export function stepArguments<Options extends object, Effect>(given: Options | Effect, last: Effect | undefined): readonly [Options, Effect | undefined] {
  return typeof given === "function" && last === undefined ? [{} as Options, given] : [given as Options, last];
}

function chainOf(owner: string, isCritical: boolean, steps: readonly ChainStep[]): StepChain<never> & { readonly steps: readonly ChainStep[] } {
  return {
    kind: "holdfast.steps",
    steps,
    step(name: string, given: object, last?: ChainStep["effect"]) {
      const [options, effect] = stepArguments<object, ChainStep["effect"]>(given, last);
      const place = `${owner} step '${checkStepName(owner, name)}'`;
      if (steps.some((step) => step.name === name)) refuse(owner, "each step name once", name);
      if (steps.length >= stepsMax) refuse(owner, `at most ${stepsMax} steps`, steps.length + 1);
      const kind = checkStepOptions(place, options, isCritical);
      if (typeof effect !== "function") refuse(place, "its effect, a function, as the last argument", effect);
      const { query, database, compensate, fallbacks } = options as Pick<ChainStep, "query" | "database" | "compensate" | "fallbacks">;
      return chainOf(owner, isCritical, [...steps, { name, kind, query, database, compensate, effect, fallbacks, sites: util.getCallSites() }]) as never;
    },
  };
}

/** The steps an author's `steps` function builds. */
export function buildChain(owner: string, isCritical: boolean, build: (begin: never) => AnyStepChain): readonly ChainStep[] {
  const built = build(chainOf(owner, isCritical, []) as never) as (AnyStepChain & { readonly steps: readonly ChainStep[] }) | undefined;
  if (built?.kind !== "holdfast.steps") refuse(`${owner}.steps`, "the chain to be returned", built);
  if (built.steps.length === 0) refuse(`${owner}.steps`, "at least one step", 0);
  return built.steps;
}

/** Runs a chain: each step through the context, its result handed to those after it. */
export async function runChain(steps: readonly ChainStep[], context: SkillContext): Promise<void> {
  const results: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const { name, kind, query, database, compensate, effect, fallbacks } of steps) {
    const more = {
      ...(compensate === undefined ? undefined : { compensate: compensate as Compensate<unknown> }),
      ...(fallbacks === undefined ? undefined : { fallbacks: fallbacks.map((fallback) => withResults(fallback, results)) }),
    };
    if (database !== undefined) {
      const inTransaction: TransactionalOptions<unknown, unknown> = { kind: "transactional", database, ...more };
      results[name] = await context.step(name, inTransaction, (step, transaction) =>
        effect(step as StepContext<never>, results as never, transaction as never),
      );
      continue;
    }
    const options: StepOptions<unknown> =
      kind === "queryable" && query !== undefined
        ? { kind, query: (step: StepContext) => query(step as StepContext<never>, results as never), ...more }
        : { kind: kind as Exclude<StepKind, "queryable">, ...more };
    results[name] = await context.step<unknown>(name, options, (step) => effect(step as StepContext<never>, results as never));
  }
}

function withResults({ answer, ...rules }: ChainFallback<unknown, never, never>, results: Readonly<Record<string, unknown>>): Fallback<unknown> {
  return { ...(rules as FallbackRules), answer: (step, error) => answer(step as StepContext<never>, error, results as never) };
}
