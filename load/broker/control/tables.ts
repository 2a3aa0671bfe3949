// What the broker tells of itself, as tables for the terminal.
import Table from "cli-table3";
import type { BrokerInspection, InspectedMessage, QueueInspection } from "../inspection.ts";
import type { FaultReport } from "../protocol/faults.ts";

function tableOf(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  for (const row of rows) table.push([...row]);
  return table.toString();
}

/** Every entity with what it holds. */
export function inspectionTable({ connections, queues, topics }: BrokerInspection): string {
  const rows = Object.values(queues).map(({ path, states: { active, locked, scheduled, deferred, deadLettered }, totals, receivers }) => [
    path,
    active,
    locked,
    scheduled,
    deferred,
    deadLettered,
    totals.accepted + totals.scheduledAccepted + totals.movedIn,
    totals.completed + totals.receivedAndDeleted,
    receivers,
  ]);
  const topicRows = Object.values(topics).map(({ path, scheduled, totals, subscriptions }) => [path, scheduled, totals.accepted + totals.scheduledAccepted, totals.copied, totals.unmatched, subscriptions.length]);
  const parts = [tableOf(["queue", "active", "locked", "scheduled", "deferred", "dead", "came in", "done", "receivers"], rows)];
  if (topicRows.length > 0) parts.push(tableOf(["topic", "scheduled", "came in", "copied", "unmatched", "subscriptions"], topicRows));
  return [...parts, `${connections} connections`].join("\n");
}

/** One entity: what happened to it, who holds what, and which messages are in doubt. */
export function entityTable(queue: QueueInspection, locked: readonly InspectedMessage[], inDoubt: readonly InspectedMessage[]): string {
  const { states, totals } = queue;
  const parts = [
    `${queue.kind} ${queue.path}`,
    tableOf(["state", "messages"], Object.entries(states).map(([state, count]) => [state, Number(count)])),
    tableOf(["what happened", "times"], Object.entries(totals).filter(([, count]) => count > 0).map(([name, count]) => [name, Number(count)])),
  ];
  if (locked.length > 0) {
    parts.push(tableOf(["locked message", "number", "tries", "until", "holder"], locked.map(({ messageId, sequenceNumber, deliveryCount, lock }) => [messageId, sequenceNumber, deliveryCount, lock?.until ?? "", lock?.holder ?? ""])));
  }
  const held = (queue.sessions ?? []).filter(({ lock }) => lock !== null);
  if (held.length > 0) parts.push(tableOf(["locked session", "until", "holder"], held.map(({ sessionId, lock }) => [sessionId, lock?.until ?? "", lock?.holder ?? ""])));
  if (inDoubt.length > 0) parts.push(tableOf(["message in doubt", "number", "tries", "state"], inDoubt.map(({ messageId, sequenceNumber, deliveryCount, state }) => [messageId, sequenceNumber, deliveryCount, state])));
  return parts.join("\n");
}

export function faultsTable(faults: readonly FaultReport[]): string {
  const orNone = (value: number | null): string => (value === null ? "no end" : String(value));
  return tableOf(
    ["id", "kind", "target", "rate", "seed", "hits", "hits left", "ms left", "delay ms"],
    faults.map(({ id, kind, target, rate, seed, hits, left, leftMs, delayMs }) => [id, kind, target, rate, seed, hits, orNone(left), orNone(leftMs), delayMs]),
  );
}
