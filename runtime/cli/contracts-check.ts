/** `holdfast contracts check`: whether the contracts may be published as they are. */
import Table from "cli-table3";
import { counted } from "../core/counted.ts";
import { type CheckedContracts, checkContracts } from "../contracts/check-contracts.ts";
import type { EventUsers } from "../contracts/event-users.ts";
import type { Judgement, JudgementLevel } from "../contracts/judge-changes.ts";
import { readContracts } from "../contracts/read-contracts.ts";
import type { ContractRegistry } from "../contracts/registry.ts";
import { openBase } from "./contracts-base.ts";
import { type ContractsOptions, findContracts } from "./contracts-source.ts";
import { writeResult, writeText } from "./output.ts";

export interface ContractsCheckOptions extends ContractsOptions {
  readonly against?: string;
  readonly json?: boolean;
}

/** Prints what is to be said; false when something breaks somebody. */
export async function contractsCheck({ against, json, ...options }: ContractsCheckOptions): Promise<boolean> {
  const { folder, named, skills } = await findContracts(options);
  const read = await readContracts(folder);
  const base = await openBase(folder, against);
  const checked = await checkContracts(read, base.registry, skills);
  const isGood = checked.judgements.every(({ level }) => level !== "breaking");
  if (json === true) {
    const { judgements, users } = checked;
    const events = users.map((one) => ({ ...one, versions: versionsOf(read.registry, one.eventType) }));
    writeResult(`${JSON.stringify({ contracts: named, against: base.named, ok: isGood, judgements, events }, undefined, 2)}\n`);
  } else writeText(described(checked, read.registry, `${named}, compared with ${base.named}`));
  return isGood;
}

function versionsOf(registry: ContractRegistry, eventType: string): readonly string[] {
  return registry.types.get(eventType)?.versions.map(({ version }) => version) ?? [];
}

const order: readonly JudgementLevel[] = ["breaking", "warning", "compatible"];

function described({ judgements, users }: CheckedContracts, registry: ContractRegistry, what: string): string {
  const lines = order.flatMap((level) => judgements.filter((one) => one.level === level).map(lineOf));
  const count = (level: JudgementLevel): number => judgements.filter((one) => one.level === level).length;
  const sum = `${counted(registry.types.size, "event type")} of ${what}: ${count("breaking")} breaking, ${counted(count("warning"), "warning")}, ${count("compatible")} compatible`;
  return `${[...lines, ...(users.length === 0 ? [] : [usersTable(users, registry)]), sum].join("\n")}\n`;
}

function lineOf({ level, eventType, version, file, path, message }: Judgement): string {
  const place = [eventType, version, path].filter((part) => part !== "").join(" ");
  return `${level.padEnd(10)}  ${place}: ${message}${file === "" ? "" : ` (${file})`}`;
}

function usersTable(users: readonly EventUsers[], registry: ContractRegistry): string {
  const table = new Table({ head: ["event type", "versions", "handled by", "emitted by"], style: { head: [], border: [] } });
  for (const { eventType, handledBy, emittedBy } of users)
    table.push([
      eventType,
      versionsOf(registry, eventType).join(" ") || "–",
      handledBy.map(({ skill, versions }) => `${skill} ${versions.join(" ")}`).join("\n") || "–",
      emittedBy.map(({ skill, version }) => `${skill} ${version}`).join("\n") || "–",
    ]);
  return table.toString();
}
