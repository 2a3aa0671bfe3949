import type { Admission } from "../policy/admission.ts";
import type { RunOrder } from "../ports/executor.ts";
import type { Work } from "./work.ts";

/** What a thread gets of a run that it is to execute. */
export function orderFor(work: Work, nowMs: number, inDoubt: boolean, admission: Admission<Work>): RunOrder {
  const { route, skill, delivery } = work;
  if (route === undefined || skill === undefined) throw new TypeError("expected a routed message to be posted");
  return {
    runId: work.runId,
    skill: skill.name,
    source: work.source.number,
    route,
    body: delivery.body,
    contentEncoding: work.contentEncoding,
    headers: work.headers,
    enqueuedAtMs: delivery.enqueuedAtMs,
    epoch: work.epoch,
    attempt: work.attempt,
    generation: work.restarts,
    leaseMs: work.leaseUntilMs - nowMs,
    timeoutMs: skill.timeoutMs,
    steps: work.steps,
    apart: work.isApart,
    pipelineChanged: work.pipelineChanged,
    inDoubt,
    rejectedBy: admission.rejectedBy(work),
    allowances: admission.allowances(work),
    sessionId: work.turn?.session.id,
    traceparent: work.traceparent,
  };
}
