/** Everything that is to be said of a folder of contracts: its files, what changed, its examples, who uses it. */
import { compileContracts } from "./compiled-contracts.ts";
import { type EventUsers, type UsingSkill, judgeUsers, usersOf } from "./event-users.ts";
import { type Judgement, judgeChanges } from "./judge-changes.ts";
import { judgeExamples } from "./judge-examples.ts";
import { type ReadContracts, typeOfFolder } from "./read-contracts.ts";
import type { ContractRegistry } from "./registry.ts";

export interface CheckedContracts {
  readonly judgements: readonly Judgement[];
  readonly users: readonly EventUsers[];
}

/** The type whose folder a file lies in; of a folder that is none, its name. */
function typeOf(file: string): string {
  const folder = file.split("/")[0] ?? "";
  return typeOfFolder(folder) ?? folder;
}

/** `base`: the contracts that others have; undefined where there are none to compare with. */
export async function checkContracts(
  { registry, problems }: ReadContracts,
  base: ContractRegistry | undefined,
  skills: readonly UsingSkill[],
): Promise<CheckedContracts> {
  const users = usersOf(registry, skills);
  const wrong = problems.map(({ file, message }): Judgement => ({ level: "breaking", eventType: typeOf(file), version: "", file, path: "", message }));
  // What is missing because its file cannot be read was not deleted by anybody.
  const unread = new Set(problems.flatMap(({ file }) => [file, typeOf(file)]));
  const changed = judgeChanges(base, registry).filter(({ file, eventType, version }) => !unread.has(file) && (version !== "" || !unread.has(eventType)));
  const compiled = await compileContracts(registry, "allow");
  return { judgements: [...wrong, ...changed, ...judgeExamples(registry, compiled), ...judgeUsers(registry, users)], users };
}
