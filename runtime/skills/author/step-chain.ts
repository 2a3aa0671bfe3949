// Skills written as a chain of steps, each typed by what the ones before it returned.
import type { StepKind } from "../../core/run.ts";
import { checkFunction, checkKeys, checkOneOf, refuse } from "./check-options.ts";
import type { Compensate, SkillContext, StepContext, StepOptions } from "./context.ts";

type Awaitable<Result> = Promise<Result> | Result;

export type ChainStepOptions<Result, Payload, Results> =
  | { readonly kind?: Exclude<StepKind, "queryable">; readonly compensate?: Compensate<NoInfer<Result>, Payload> }
  | {
      readonly kind: "queryable";
      readonly compensate?: Compensate<NoInfer<Result>, Payload>;
      readonly query: (step: StepContext<Payload>, results: Readonly<Results>) => Awaitable<NoInfer<Result> | undefined>;
    };

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
  step<const Name extends string, Result>(
    name: Name extends keyof Results ? never : Name,
    options: ChainStepOptions<Result, Payload, Results>,
    effect: (step: StepContext<Payload>, results: Readonly<Results>) => Awaitable<Result>,
  ): StepChain<Payload, Results & { readonly [Key in Name]: Result }>;
}

export interface ChainStep {
  readonly name: string;
  readonly kind: StepKind;
  readonly query: ((step: StepContext<never>, results: never) => unknown) | undefined;
  readonly compensate: Compensate<never, never> | undefined;
  readonly effect: (step: StepContext<never>, results: never) => unknown;
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

/** Refuses options that no step can have; returns its kind. */
export function checkStepOptions(owner: string, options: unknown, isCritical: boolean): StepKind {
  checkKeys(owner, options, ["kind", "query", "compensate"]);
  if (options["compensate"] !== undefined) {
    checkFunction(`${owner}.compensate`, options["compensate"]);
    if (!isCritical) refuse(`${owner}.compensate`, "it only in a skill with critical: true", "critical: false");
  }
  const kind = options["kind"] === undefined ? "keyed" : checkOneOf(`${owner}.kind`, options["kind"], stepKinds);
  if (kind === "queryable") checkFunction(`${owner}.query`, options["query"]);
  else if (options["query"] !== undefined) refuse(`${owner}.query`, "it only with kind 'queryable'", kind);
  return kind;
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
      const { query, compensate } = options as { readonly query?: ChainStep["query"]; readonly compensate?: ChainStep["compensate"] };
      return chainOf(owner, isCritical, [...steps, { name, kind, query, compensate, effect }]) as never;
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
  for (const { name, kind, query, compensate, effect } of steps) {
    const more = compensate === undefined ? undefined : { compensate: compensate as Compensate<unknown> };
    const options: StepOptions<unknown> =
      kind === "queryable" && query !== undefined
        ? { kind, query: (step: StepContext) => query(step as StepContext<never>, results as never), ...more }
        : { kind: kind as Exclude<StepKind, "queryable">, ...more };
    results[name] = await context.step<unknown>(name, options, (step) => effect(step as StepContext<never>, results as never));
  }
}
