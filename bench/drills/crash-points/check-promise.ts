/** The promise, held against what is left outside of the workers: the broker, the ledger and the run records. */
import type { ModelBroker } from "#runtime/testing/world/model-broker.ts";
import type { Ledger } from "./ledger.ts";
import type { Records } from "./records.ts";
import type { Expected, Scenario } from "./scenario.ts";

export interface Remains {
  readonly scenario: Scenario;
  readonly broker: ModelBroker;
  readonly records: Records;
  readonly ledger: Ledger;
}

/** What is broken; nothing when the promise was kept. */
export async function checkPromise(remains: Remains, hadTrouble: boolean): Promise<string[]> {
  const violations: string[] = [];
  for (const [eventId, expected] of Object.entries(remains.scenario.expected)) {
    const end = await endOf(remains, eventId);
    const allowed = [expected.ends, ...(hadTrouble ? (expected.orEnds ?? []) : [])];
    if (!allowed.includes(end)) violations.push(`${eventId}: expected it to end as ${allowed.join(" or ")}, found ${end}`);
    const isCompleted = end.startsWith("completed");
    violations.push(...checkDeeds(remains, eventId, expected, isCompleted), ...checkUndone(remains, eventId, expected));
    violations.push(...checkPublished(remains, eventId, isCompleted ? expected.emits : 0));
  }
  return violations;
}

/** By the broker and the record together: they must tell the same. */
async function endOf({ broker, records }: Remains, eventId: string): Promise<string> {
  const messages = broker.stored.filter(({ message }) => message.headers["eventId"] === eventId);
  const reasons = [...new Set(messages.flatMap(({ reason }) => (reason === undefined ? [] : [reason])))].toSorted();
  const record = await records.read(eventId);
  const open = messages.filter(({ state }) => state !== "completed" && state !== "dead-lettered").map(({ state }) => state);
  const state = record?.state ?? "none";
  if (open.length > 0) return `open: ${open.join()}, record ${state}`;
  const dead = reasons.length === 0 ? "" : `dead-lettered: ${reasons.join()}`;
  switch (state) {
    case "done":
      if (record?.outbox.length !== 0) return "completed, with its outbox not cleared";
      return dead === "" ? "completed" : `completed and ${dead}`;
    case "dead":
    case "parked":
      return dead === "" ? `record ${state}, and no dead letter` : dead;
    case "none":
      return dead === "" ? "lost: no record and no dead letter" : `${dead}, without a record`;
    default:
      return `record ${state}, all messages settled${dead === "" ? "" : `, ${dead}`}`;
  }
}

function checkDeeds({ ledger }: Remains, eventId: string, expected: Expected, isCompleted: boolean): string[] {
  const violations: string[] = [];
  for (const { deed, happens, isOptional } of expected.deeds) {
    const entries = ledger.of(eventId, deed);
    const keys = new Set(entries.map(({ key }) => key));
    if (happens === "once" && entries.length > 1) violations.push(`${eventId}: expected '${deed}' to begin once at most, it began ${entries.length} times`);
    if (keys.size > 1) violations.push(`${eventId}: expected '${deed}' under one key, found ${keys.size}`);
    if (isCompleted && entries.length === 0 && isOptional !== true) violations.push(`${eventId}: completed, and '${deed}' was never done`);
  }
  const known = new Set(expected.deeds.map(({ deed }) => deed));
  for (const { deed } of ledger.entries.filter((entry) => entry.eventId === eventId))
    if (!known.has(deed)) violations.push(`${eventId}: '${deed}' was done, and should not have been`);
  return violations;
}

/** Each compensation stands in the ledger where its step's result was committed, the last one first. */
function checkUndone({ ledger }: Remains, eventId: string, { undone = [] }: Expected): string[] {
  const found = new Set(ledger.entries.flatMap((entry) => (entry.eventId === eventId && entry.undoes !== undefined ? [entry.undoes] : [])));
  const [is, shouldBe] = [[...found].join(), undone.join()];
  return is === shouldBe ? [] : [`${eventId}: expected the steps ${shouldBe || "(none)"} to be compensated in this order, found ${is || "(none)"}`];
}

/** Each event that was emitted is published at least once, under one id. */
function checkPublished({ broker }: Remains, eventId: string, emits: number): string[] {
  const ids = new Map<string, Set<string>>();
  for (const { message } of broker.published) {
    if (message.headers["causationId"] !== eventId) continue;
    const emitted = String(message.headers["eventId"]);
    ids.set(emitted, (ids.get(emitted) ?? new Set()).add(message.messageId));
  }
  const violations = [...ids].flatMap(([emitted, used]) => (used.size > 1 ? [`${eventId}: ${emitted} was published under ${used.size} message ids`] : []));
  if (ids.size !== emits) violations.push(`${eventId}: expected ${emits} events to be published, found ${ids.size}`);
  return violations;
}
