/**
 * Steps of a parked run of which nobody knows whether they happened, until somebody states it. A step is named by what the run was
 * parked for: where the store has lost its record, there is no other trace of it.
 */
import { isOwnRecord } from "../core/compensation.ts";
import { lastDeath } from "../core/history.ts";
import type { ParkedReason } from "../core/outcome.ts";
import type { RunView } from "../core/run.ts";

const outcomeUnknown: ParkedReason = "OutcomeUnknown";

/** The one that the run was parked for comes first. */
export function stepsInDoubt({ state, history, steps }: Pick<RunView, "state" | "history" | "steps">): readonly string[] {
  if (state !== "parked") return [];
  const death = lastDeath(history);
  const parkedFor = death !== undefined && death.reason === outcomeUnknown && death.step !== "" ? [death.step] : [];
  const begun = steps.filter((step) => step.kind === "atMostOnce" && step.state === "intent" && !isOwnRecord(step)).map(({ name }) => name);
  return [...new Set([...parkedFor, ...begun])];
}
