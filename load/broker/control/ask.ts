// What `holdfast broker inspect` and `holdfast broker fault` do: each asks a running broker and returns what is to be printed.
import type { BrokerInspection, MessagePage, QueueInspection, TopicInspection } from "../inspection.ts";
import type { FaultReport } from "../protocol/faults.ts";
import { askControl } from "./client.ts";
import { entityTable, faultsTable, inspectionTable } from "./tables.ts";

export interface ControlFlags {
  readonly control: string;
  readonly json: boolean;
}

export interface FaultFlags extends ControlFlags {
  readonly target?: string;
  readonly rate?: string;
  readonly seed?: string;
  readonly count?: string;
  readonly duration?: string;
  readonly delay?: string;
}

export async function inspect(entity: string | undefined, { control, json: asJson }: ControlFlags): Promise<string> {
  if (entity === undefined) {
    const inspection = await askControl<BrokerInspection>(control, "GET", "/inspect");
    return asJson ? json(inspection) : inspectionTable(inspection);
  }
  const path = `/inspect/${entity.split("/").map(encodeURIComponent).join("/")}`;
  const found = await askControl<QueueInspection | TopicInspection>(control, "GET", path);
  if (found.kind === "topic") return asJson ? json(found) : inspectionTable({ connections: 0, queues: {}, topics: { [found.path]: found } });
  const [locked, inDoubt] = await Promise.all(["state=locked", "doubt=true"].map((query) => askControl<MessagePage>(control, "GET", `${path}/messages?${query}&top=1000`)));
  const parts = { entity: found, locked: locked?.messages ?? [], inDoubt: inDoubt?.messages ?? [] };
  return asJson ? json(parts) : entityTable(parts.entity, parts.locked, parts.inDoubt);
}

export async function addFault(kind: string, flags: FaultFlags): Promise<string> {
  const numbers = { rate: flags.rate, seed: flags.seed, count: flags.count, durationMs: flags.duration, delayMs: flags.delay };
  const given = Object.entries(numbers).flatMap(([name, value]) => (value === undefined ? [] : [[name, Number(value)]]));
  const request: Record<string, unknown> = { kind, ...(flags.target === undefined ? {} : { target: flags.target }), ...Object.fromEntries(given) };
  const report = await askControl<FaultReport>(flags.control, "POST", "/faults", request);
  return flags.json ? json(report) : faultsTable([report]);
}

export async function listFaults(flags: ControlFlags): Promise<string> {
  const { faults } = await askControl<{ faults: FaultReport[] }>(flags.control, "GET", "/faults");
  return flags.json ? json(faults) : faultsTable(faults);
}

export async function clearFaults(id: string | undefined, flags: ControlFlags): Promise<string> {
  const answer = await askControl<{ cleared: number }>(flags.control, "DELETE", id === undefined ? "/faults" : `/faults/${encodeURIComponent(id)}`);
  return flags.json ? json(answer) : `${answer.cleared} cleared`;
}

function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}
