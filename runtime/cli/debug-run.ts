/** What `holdfast debug` goes through: the execution that failed last, as it began. */
import { isOwnRecord } from "../core/compensation.ts";
import { consumerName, firstSource } from "../core/config/sources.ts";
import type { RunView, StepRecord } from "../core/run.ts";
import type { RecordedRun } from "../testing/recorded-run.ts";
import type { Found } from "./debug-source.ts";

export function recordedRun({ message, view, failure, answers, loaded }: Found): RecordedRun {
  const { payloadHash, pipelineHash, failures = 0 } = view ?? {};
  const failuresBefore = Math.max(0, (failure?.attempt || failures) - 1);
  const consumer = view?.key.consumer ?? consumerName(firstSource(loaded.config));
  const epoch = view?.epoch ?? failuresBefore + 1;
  return { message, steps: stepsOf(view, answers), payloadHash, pipelineHash, failuresBefore, identity: { consumer, restarts: view?.restarts ?? 0, epoch } };
}

/**
 * The steps that the execution found, and those that it completed; what was compensated later it had done. An intent that it wrote itself it did not find: with it
 * on record, a step would ask whether its effect has happened, or park the run, where it had its effect.
 */
function stepsOf(view: RunView | undefined, answers: Found["answers"]): readonly StepRecord[] {
  if (view === undefined) return [];
  const { setbacks, losses } = view;
  const before = setbacks.at(-2)?.atMs ?? 0;
  const isOwnIntent = ({ name, state, atMs }: StepRecord): boolean => {
    if (state !== "intent") return false;
    const places = answers.flatMap((answer) => (answer.step === name ? [answer.place] : []));
    if (places.length > 0) return !places.some((place) => place.startsWith("?"));
    // An execution that was lost leaves no time of its end.
    return losses === 0 && setbacks.length > 0 && atMs > before;
  };
  return view.steps.filter((step) => !isOwnRecord(step) && !isOwnIntent(step));
}
