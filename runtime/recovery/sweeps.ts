/**
 * Sweeps: what the pool looks after from time to time, by one worker at a time, as a job of the recovery queue that goes on with itself.
 * Each looks for records and messages that disagree, as `holdfast reconcile` does. It can end anywhere; the next one finds what is left.
 *
 *   (a worker starts, or a while later) ──add──▶ a job that waits ──▶ looks, mends, reports ──again──▶ waits …
 *
 * A worker adds the job again and again, so that one that was given up, or lost with its store, is there once more.
 */
import { messageOf } from "../core/errors.ts";
import type { SweepForm } from "../core/sweep.ts";
import { compensateJobId, compensateKind } from "../core/undo-order.ts";
import type { JobHandler, JobResult, NewJob, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { type Disagreement, type DisagreementKind, findDisagreements, hasLeftBehind, type ReconcileOptions, type Reconciliation } from "./reconcile.ts";
import { asFound, type Ended, mendEach, type MendSurroundings } from "./reconcile-mend.ts";

export const sweepKind = "sweep";

export interface SweepPlan {
  readonly form: SweepForm | "off";
  readonly everyMs: number;
}

/** What one sweep works on, opened for it. */
export type SweepScene = ReconcileOptions & MendSurroundings & { stop(): Promise<void> };

export interface SweepsOptions extends SweepPlan {
  readonly telemetry: Pick<Telemetry, "emit">;
  open(signal: AbortSignal): Promise<SweepScene>;
}

/** Disagreements of one sweep that are reported one by one; all are counted. */
const toldMax = 100;
const ofCompensations: ReadonlySet<DisagreementKind> = new Set<DisagreementKind>(["compensation-without-message", "compensation-dead-letter"]);
const nothing: Reconciliation = { disagreements: [], records: 0, messages: 0, letters: 0, cutShort: [] };

/** Another interval is another job: the one before ends when it is due. */
function jobIdOf({ everyMs }: SweepPlan): string {
  return `reconcile every ${everyMs}`;
}

/** What every worker adds; undefined where there is none to be done. */
export function sweepJobOf(plan: SweepPlan): NewJob | undefined {
  if (plan.form === "off") return undefined;
  return { kind: sweepKind, id: jobIdOf(plan), data: {}, delayMs: plan.everyMs, keepDoneMs: 0, replacesEnded: true };
}

/** Whether there is a job that goes on with the compensations of a run; `consumer`: of any but the first source. */
export function lookedAfterBy(queue: RecoveryQueue | undefined, consumer?: string): Pick<ReconcileOptions, "isLookedAfter"> {
  if (queue === undefined) return {};
  return {
    async isLookedAfter(eventId, generation) {
      const job = await queue.find(compensateKind, compensateJobId(eventId, generation, consumer));
      return job?.state === "waiting" || job?.state === "active";
    },
  };
}

export function sweepsOf(options: SweepsOptions): JobHandler {
  const { form, everyMs, telemetry } = options;
  return async ({ id }, stopping): Promise<JobResult> => {
    if (form === "off" || id !== jobIdOf(options)) return { kind: "done" };
    try {
      await sweep(options, form, stopping);
    } catch (error) {
      // It is not given up: the next one may get there.
      if (!stopping.aborted) telemetry.emit({ type: "recovery.job-failed", kind: sweepKind, id, error: messageOf(error, 300), isFinal: false });
    }
    return { kind: "again", afterMs: stopping.aborted ? 0 : everyMs };
  };
}

async function sweep(options: SweepsOptions, form: SweepForm, stopping: AbortSignal): Promise<void> {
  const { telemetry } = options;
  const scene = await options.open(stopping);
  try {
    const found = form !== "compensations" || (await hasLeftBehind(scene)) ? await findDisagreements(scene) : nothing;
    const meant = form === "compensations" ? found.disagreements.filter(({ kind }) => ofCompensations.has(kind)) : found.disagreements;
    const ended = form === "look" ? meant.map(asFound) : await mendEach(scene, meant);
    if (stopping.aborted) return;
    for (const one of ended.slice(0, toldMax)) telemetry.emit({ type: "recovery.disagreement", ...told(one) });
    const count = (result: Ended["result"]): number => ended.filter((one) => one.result === result).length;
    const { records, messages, letters, cutShort } = found;
    const counts = { found: ended.length, mended: count("mended"), moved: count("moved"), failed: count("failed"), records, messages, letters };
    telemetry.emit({ type: "recovery.swept", form, ...counts, isWhole: cutShort.length === 0 });
  } finally {
    await scene.stop();
  }
}

function told({
  disagreement,
  result,
  why,
}: Ended): Pick<Disagreement, "eventId" | "kind" | "what"> & { readonly result: Ended["result"]; readonly error: string } {
  const { eventId, kind, what } = disagreement;
  return { eventId, kind, what, result, error: why };
}
