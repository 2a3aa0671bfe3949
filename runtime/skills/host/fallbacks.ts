/**
 * Answers a step from its fallback chain after its effect has failed. Each answer has a context of its own: when the next one has its
 * turn, what is left of the one before may make no call and emit nothing.
 */
import type { Clock } from "../../core/clock.ts";
import type { FellBack } from "../../core/outcome.ts";
import { nextFallback } from "../../policy/fallback.ts";
import type { Fallback, SkillContext, StepContext } from "../author/context.ts";
import { SkillError, TransientError } from "../author/errors.ts";
import { OpenStepContext } from "./open-step-context.ts";
import { type OpenStep, stepPart } from "./open-step.ts";

/** What the chain needs of the step it answers for. */
export interface FallingStep<Payload> extends Pick<Clock, "after"> {
  /** Takes the hands of whatever answered so far away, and gives the fallback its own. Throws when the run may not act any more. */
  open(fallback: Fallback<unknown, Payload>): StepContext<Payload>;
  /** Hears the end of the run, until the function it returns is called. */
  onEnd(listener: () => void): () => void;
}

/** What it needs of its run. */
interface FallingRun extends SkillContext<never>, Pick<FallingStep<never>, "onEnd"> {
  readonly host: Pick<Clock, "after">;
  checkMayAct(): void;
}

/** Gives each fallback in turn the step's hands, with calls and events that are numbered apart. */
export function fallingStep(run: FallingRun, open: OpenStep, effect: OpenStepContext): FallingStep<never> {
  let current = effect;
  return {
    open: ({ name, quality }) => {
      run.checkMayAct();
      current.close();
      const callKey = `${open.idempotencyKey}-${name}`;
      open.part = stepPart(callKey, `${open.name}?${name}`);
      open.emitted.length = 0;
      open.quality = quality;
      current = new OpenStepContext(run, { idempotencyKey: callKey });
      return current;
    },
    onEnd: (listener) => run.onEnd(listener),
    after: (delayMs, action) => run.host.after(delayMs, action),
  };
}

export type ChainAnswer =
  | { readonly kind: "answered"; readonly result: unknown; readonly fellBack: FellBack }
  /** Nothing answered. `error` is what the step fails with, `doubt` the failure that says whether an effect may have happened. */
  | { readonly kind: "failed"; readonly error: unknown; readonly doubt: unknown };

async function ask<Payload>(step: FallingStep<Payload>, fallback: Fallback<unknown, Payload>, error: SkillError): Promise<unknown> {
  const context = step.open(fallback);
  const { timeoutMs, name } = fallback;
  if (timeoutMs === undefined) return await fallback.answer(context, error);
  const { promise: late, reject } = Promise.withResolvers<never>();
  const expected = `fallback '${name}': expected an answer within ${timeoutMs} ms, got none`;
  const timer = step.after(timeoutMs, () => reject(new TransientError(expected, { code: "FALLBACK_TIMEOUT", definite: false })));
  const stopListening = step.onEnd(() => timer.cancel());
  try {
    return await Promise.race([fallback.answer(context, error), late]);
  } finally {
    timer.cancel();
    stopListening();
  }
}

/**
 * Goes through the chain, in order, each fallback at most once. Only a `PermanentError` or `TransientError` is answered: a defect is no
 * reason for a degraded answer. When no fallback answers, the step fails with its own error; with the chain's first failure that may pass
 * where its own may not: the answer of that fallback may have happened, and trying again finds it.
 */
export async function fallBack<Payload>(
  step: FallingStep<Payload>,
  context: StepContext<Payload>,
  chain: readonly Fallback<unknown, Payload>[],
  thrown: unknown,
): Promise<ChainAnswer> {
  let doubt = thrown;
  let last = thrown;
  let failure = thrown;
  let from = 0;
  while (last instanceof SkillError) {
    const error = last;
    const isDefinite = doubt instanceof SkillError && doubt.definite;
    const fallback = choose(chain, from, isDefinite, (candidate) => candidate.when?.(error, context) !== false);
    if (fallback === undefined) break;
    from = chain.indexOf(fallback) + 1;
    try {
      const result = await ask(step, fallback, error);
      return { kind: "answered", result, fellBack: { fallback: fallback.name, quality: fallback.quality, code: error.code } };
    } catch (failed) {
      if (isDefinite) doubt = failed;
      last = failed;
      if (mayPass(failed) && !mayPass(failure)) failure = failed;
    }
  }
  return { kind: "failed", error: last instanceof SkillError ? failure : last, doubt };
}

function mayPass(error: unknown): boolean {
  return error instanceof SkillError && error.retryable;
}

function choose<Payload>(
  chain: readonly Fallback<unknown, Payload>[],
  from: number,
  isDefinite: boolean,
  accepts: (fallback: Fallback<unknown, Payload>) => boolean,
): Fallback<unknown, Payload> | undefined {
  const place = nextFallback(chain, from, isDefinite, (number) => {
    const fallback = chain[number];
    return fallback !== undefined && accepts(fallback);
  });
  return place === undefined ? undefined : chain[place];
}
