// A step's effect in one transaction with its record.
import type { StepRecord } from "../../core/run.ts";
import { PermanentError } from "../author/errors.ts";
import type { StepContext, StepEffect, StepOptions, TransactionalEffect, TransactionalOptions } from "../author/context.ts";
import type { TransactionalDatabase } from "../author/transactional.ts";
import { type OpenStep, recordOf, stepPart } from "./open-step.ts";
import { decodeStep, recordFrom, stepCodec } from "./step-codec.ts";

export type AnyStepOptions<Result> = StepOptions<Result, never> | TransactionalOptions<Result, unknown, never>;
export type AnyStepEffect<Result> = StepEffect<Result, never> | TransactionalEffect<Result, unknown, never>;

interface TransactionalRun {
  readonly eventId: string;
  readonly order: { readonly skill: string };
  checkMayAct(): void;
}

interface CarriedOut {
  readonly result: unknown;
  /** The step's record. */
  readonly stored: StepRecord;
}

/** What the step has done, now or at an earlier execution; what it emitted stands in `open`. */
export async function carryOutOnce(
  run: TransactionalRun,
  open: OpenStep,
  context: StepContext<never>,
  database: TransactionalDatabase<unknown>,
  effect: TransactionalEffect<unknown, unknown, never>,
): Promise<CarriedOut> {
  const { name, kind, idempotencyKey: key } = open;
  const bytes = await database.once({ key, eventId: run.eventId, skill: run.order.skill, step: name }, async (transaction) => {
    // A database that repeats a transaction begins it afresh.
    open.emitted.length = 0;
    open.part = stepPart(key, name);
    const { result } = recordOf(open, await effect(context, transaction));
    // Whoever has been taken over meanwhile must not commit.
    run.checkMayAct();
    return Buffer.concat([Buffer.of(stepCodec), result]);
  });
  const [codec] = bytes;
  if (codec !== stepCodec)
    throw new PermanentError(
      `step '${name}': expected its record in the database in form ${stepCodec}, found form ${codec}; deploy the version that wrote it`,
      {
        code: "STEP_RESULT",
        definite: false,
      },
    );
  const stored = recordFrom(name, kind, Uint8Array.from(bytes.subarray(1)));
  const outcome = decodeStep(stored);
  if (outcome === undefined)
    throw new PermanentError(`step '${name}': expected its record in the database to be readable, it is damaged`, { code: "STEP_RESULT", definite: false });
  open.emitted.splice(0, Number.POSITIVE_INFINITY, ...outcome.emitted);
  open.quality = outcome.quality;
  return { result: outcome.result, stored };
}
