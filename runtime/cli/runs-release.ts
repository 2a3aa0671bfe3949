/** `holdfast runs release`: somebody states whether a step happened of which nobody knew, and the run goes on by that. */
import { verdictOf } from "../core/compensation.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import type { StatedOutcome } from "../core/history.ts";
import { didYouMean } from "../core/near-name.ts";
import type { RunView, StepRecord } from "../core/run.ts";
import type { Statement } from "../recovery/release-group.ts";
import { stepsInDoubt } from "../recovery/runs-release.ts";
import { encodeStep, encodeWithdrawal, stepResultBytesMax } from "../skills/host/step-codec.ts";
import { cannot, change, readJsonArgument } from "./runs-change.ts";
import { byHandOf } from "./by-hand.ts";
import type { ReleaseOptions } from "./runs-options.ts";
import { releaseGroup } from "./runs-release-group.ts";
import { wayOn } from "./runs-resume.ts";
import { readRun } from "./runs-records.ts";

/** False where some runs are left. */
export async function release(eventId: string | undefined, options: ReleaseOptions): Promise<boolean> {
  const isOfMany = options.group.length > 0 || options.skill !== undefined;
  if ((eventId !== undefined) === isOfMany)
    throw new ConfigurationError(`expected either an event's id, or --group, or --skill and --step, found ${isOfMany ? "both" : "none of them"}`);
  const outcome = outcomeOf(options);
  const result = readJsonArgument("--result", options.result);
  if (result !== undefined && outcome === "not-done") throw new ConfigurationError("--result: expected --done beside it, found --not-done; leave one out");
  const record = (step: string): StepRecord => recordOf(step, outcome, result);
  if (eventId === undefined) return releaseGroup(options, { outcome, record }, byHandOf(options));
  await releaseOne(eventId, options, { outcome, record });
  return true;
}

/** The statement first, then the message: what ends between the two is stated already, and the command made once more goes on from there. */
async function releaseOne(eventId: string, options: ReleaseOptions, { outcome, record }: Statement): Promise<void> {
  await change(eventId, options, async (open, { reason, who }) => {
    const view = await readRun(open, eventId);
    const step = stepMeant(view, options.step);
    const way = await wayOn(open, view, { reason, who }, options);
    const did = (then: string): string =>
      `been released: its step ${step} counts as ${outcome === "done" ? "done" : "not done"} for ${who}; it has then ${then}`;
    if (options.dryRun === true) return { eventId, did: did(way.did), step, outcome, who };
    const answer = await open.records.state({ eventId, epoch: view.epoch, step: record(step), entry: { kind: "released", reason, step, outcome, who } });
    if (answer !== "stated") throw cannot(`expected '${eventId}' to be parked as it was a moment ago, found that it has ${answer}; nothing was changed`);
    const told = await way.go();
    return { ...told, did: did(told.did), step, outcome, who };
  });
}

function outcomeOf({ done, notDone }: ReleaseOptions): StatedOutcome {
  if ((done === true) === (notDone === true))
    throw new ConfigurationError(`expected either --done or --not-done, found ${done === true ? "both" : "neither"}: look in the dependency which it is`);
  return done === true ? "done" : "not-done";
}

function stepMeant(view: RunView, named: string | undefined): string {
  const { state, reason, key, steps } = view;
  if (state !== "parked" || verdictOf(steps) !== undefined)
    throw cannot(
      `expected a run that is parked, found that '${key.eventId}' is ${state}${reason === undefined ? "" : ` (${reason})`}; 'holdfast runs explain' says how it stands`,
    );
  const inDoubt = stepsInDoubt(view);
  const [first] = inDoubt;
  if (first === undefined)
    throw cannot(`expected a step whose outcome is unknown, found that '${key.eventId}' is parked as ${reason ?? ""}; 'holdfast runs resume' retries it`);
  if (named === undefined) return first;
  if (!inDoubt.includes(named))
    throw new ConfigurationError(`--step: expected a step whose outcome is unknown (${inDoubt.join(", ")}), got '${named}'${didYouMean(named, inDoubt)}`);
  return named;
}

function recordOf(step: string, outcome: StatedOutcome, result: unknown): StepRecord {
  if (outcome === "not-done") return encodeWithdrawal(step);
  let record: StepRecord;
  try {
    record = encodeStep(step, "atMostOnce", { result, emitted: [], quality: "full" });
  } catch (error) {
    throw new ConfigurationError(`--result: expected a result that can be kept, found: ${messageOf(error, 200)}`);
  }
  if (record.result.byteLength > stepResultBytesMax)
    throw new ConfigurationError(`--result: expected at most ${stepResultBytesMax} bytes, found ${record.result.byteLength}`);
  return record;
}
