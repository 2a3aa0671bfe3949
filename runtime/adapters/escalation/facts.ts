import type { EscalationNotice } from "../../core/escalation.ts";

/** A notice for eyes: what is known of it, by name. */
export function factsOf(notice: EscalationNotice): readonly (readonly [name: string, value: string])[] {
  const { windowMs, count, sinceLast, failureClass, code, description, step } = notice;
  const facts: readonly (readonly [string, string])[] = [
    ["Rule", notice.rule],
    ["Failures", `${count} within ${Math.ceil(windowMs / 1_000)} s, ${sinceLast} since the last escalation`],
    ["Project", notice.projectId],
    ["Tenant", notice.tenantId],
    ["Consumer", notice.consumer],
    ["Skill", notice.skill],
    ["Event type", notice.eventType],
    ["Last failure", `${code} (${failureClass})${step === "" ? "" : `, step ${step}`}`],
    ["Description", description],
    ["Event", notice.eventId],
    ["Trace", notice.traceId],
    ["Worker", notice.worker],
    ["Time", notice.timestamp],
    ["Escalation", notice.id],
  ];
  return facts.filter(([, value]) => value !== "");
}
