// What `holdfast broker inspect` and `holdfast broker fault` do: each asks a running broker and returns what is to be printed.
import type { BrokerInspection, MessagePage, QueueInspection, TopicInspection } from "../inspection.ts";
import { type FaultReport, matcherOf } from "../protocol/faults.ts";
import { BrokerUsageError } from "../usage-error.ts";
import { askControl } from "./client.ts";
import { ControlClientError } from "./control-error.ts";
import { entityTable, faultsTable, inspectionTable, messagesTable } from "./tables.ts";
import { type ControlTarget, type TargetFlags, targetOf } from "./target.ts";

export interface ControlFlags extends TargetFlags {
  readonly json?: boolean;
}

export interface InspectFlags extends ControlFlags {
  readonly messages?: boolean;
  readonly state?: string;
  readonly doubt?: boolean;
  readonly bodies?: boolean;
  readonly from?: string;
  readonly top?: string;
}

export interface FaultFlags extends ControlFlags {
  readonly target?: string;
  readonly rate?: string;
  readonly seed?: string;
  readonly count?: string;
  readonly duration?: string;
  readonly delay?: string;
}

/** Messages of a list in the terminal. */
const topDefault = "20";

/** @param width columns of the terminal, 80 or more */
export async function inspect(entity: string | undefined, flags: InspectFlags, width: number): Promise<string> {
  const target = targetOf(flags);
  const lists =
    flags.messages === true ||
    flags.doubt === true ||
    flags.bodies === true ||
    flags.state !== undefined ||
    flags.from !== undefined ||
    flags.top !== undefined;
  if (entity === undefined) {
    if (lists) throw new BrokerUsageError("expected an entity whose messages are to be listed, found none: holdfast broker inspect ENTITY --messages");
    const inspection = await askControl<BrokerInspection>(target, "GET", "/inspect");
    return flags.json === true ? json(inspection) : inspectionTable(inspection, width);
  }
  if (lists) return listMessages(target, entity, flags, width);
  const found = await askControl<QueueInspection | TopicInspection>(target, "GET", pathOf(entity));
  if (found.kind === "topic")
    return flags.json === true ? json(found) : inspectionTable({ connections: undefined, queues: {}, topics: { [found.path]: found } }, width);
  const [locked, inDoubt] = await Promise.all([askPage(target, entity, { state: "locked" }), askPage(target, entity, { doubt: "true" })]);
  return flags.json === true ? json({ entity: found, locked: locked.messages, inDoubt: inDoubt.messages }) : entityTable(found, locked, inDoubt, width);
}

async function listMessages(target: ControlTarget, entity: string, flags: InspectFlags, width: number): Promise<string> {
  const { state, doubt = false, bodies = false, from, top = topDefault } = flags;
  const page = await askPage(target, entity, {
    ...(state === undefined ? {} : { state }),
    ...(doubt ? { doubt: "true" } : {}),
    ...(bodies ? { bodies: "true" } : {}),
    ...(from === undefined ? {} : { from }),
    top,
  });
  if (flags.json === true) return json(page);
  const again = `holdfast broker inspect ${quoted(entity)} --messages${state === undefined ? "" : ` --state ${state}`}${doubt ? " --doubt" : ""}${bodies ? " --bodies" : ""}${flags.top === undefined ? "" : ` --top ${top}`}`;
  return messagesTable(page.messages, page.next === null ? undefined : `${again} --from ${page.next}`, width);
}

function askPage(target: ControlTarget, entity: string, query: Readonly<Record<string, string>>): Promise<MessagePage> {
  return askControl<MessagePage>(target, "GET", `${pathOf(entity)}/messages?${new URLSearchParams(query).toString()}`);
}

function pathOf(entity: string): string {
  return `/inspect/${entity.split("/").map(encodeURIComponent).join("/")}`;
}

/** As a shell takes it. */
function quoted(entity: string): string {
  return /^[\w./-]+$/.test(entity) ? entity : `'${entity}'`;
}

const faultNumbers = { rate: "rate", seed: "seed", count: "count", duration: "durationMs", delay: "delayMs" } as const;

export async function addFault(kind: string, flags: FaultFlags, width: number): Promise<string> {
  const given: [name: string, value: number][] = [];
  for (const [flag, name] of Object.entries(faultNumbers)) {
    const text = flags[flag as keyof typeof faultNumbers];
    if (text === undefined) continue;
    if (text.trim() === "" || Number.isNaN(Number(text))) throw new BrokerUsageError(`--${flag}: expected a number, found ${JSON.stringify(text)}`);
    given.push([name, Number(text)]);
  }
  const request = { kind, ...(flags.target === undefined ? {} : { target: flags.target }), ...Object.fromEntries(given) };
  const target = targetOf(flags);
  const report = await askControl<FaultReport>(target, "POST", "/faults", request);
  if (flags.json === true) return json(report);
  const said = report.left === 0 ? `${report.kind}: hit ${report.hits} at ${report.target}, once and for all` : faultsTable([report], width);
  const note = await noteOnTarget(target, report);
  return note === undefined ? said : `${said}\n${note}`;
}

/** A fault may be for an entity that is still to be made; more often its name is misspelt. */
async function noteOnTarget(target: ControlTarget, report: FaultReport): Promise<string | undefined> {
  const { queues, topics } = await askControl<BrokerInspection>(target, "GET", "/inspect");
  const paths = [...Object.keys(queues), ...Object.keys(topics)];
  const matches = matcherOf(report.target);
  return report.target === "*" || paths.some(matches)
    ? undefined
    : `note: no entity is at ${report.target} now; there are ${paths.filter((path) => !path.includes("$")).join(", ") || "none"}`;
}

export async function listFaults(flags: ControlFlags, width: number): Promise<string> {
  const { faults } = await askControl<{ faults: FaultReport[] }>(targetOf(flags), "GET", "/faults");
  if (flags.json === true) return json(faults);
  return faults.length === 0 ? "nothing goes wrong on purpose now" : faultsTable(faults, width);
}

export async function clearFaults(id: string | undefined, flags: ControlFlags): Promise<string> {
  const answer = await askControl<{ cleared: number }>(targetOf(flags), "DELETE", id === undefined ? "/faults" : `/faults/${encodeURIComponent(id)}`);
  if (id !== undefined && answer.cleared === 0)
    throw new ControlClientError(`expected the number of a fault, found none numbered ${id}; \`holdfast broker fault list\` lists them`);
  return flags.json === true ? json(answer) : `${answer.cleared} cleared`;
}

function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}
