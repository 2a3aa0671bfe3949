// Who handles and who emits which event, as the skills say it.
import type { Skill } from "../skills/author/define-skill.ts";
import { versionInRange } from "../skills/author/version-range.ts";
import type { Judgement } from "./judge-changes.ts";
import type { ContractRegistry } from "./registry.ts";

export interface UsingSkill {
  readonly name: string;
  readonly plugin: string;
  readonly handles: Skill["handles"];
  readonly emits: Skill["emits"];
}

export interface EventUsers {
  readonly eventType: string;
  readonly handledBy: readonly { readonly skill: string; readonly plugin: string; readonly versions: readonly string[] }[];
  readonly emittedBy: readonly { readonly skill: string; readonly plugin: string; readonly version: string }[];
}

/** By event type; of all types that have contracts, are handled, or are declared to be emitted. */
export function usersOf(registry: ContractRegistry, skills: readonly UsingSkill[]): readonly EventUsers[] {
  const types = new Set([...registry.types.keys(), ...skills.flatMap(({ handles, emits = [] }) => [...handles, ...emits].map(({ eventType }) => eventType))]);
  return [...types].sort().map((eventType) => ({
    eventType,
    handledBy: skills.flatMap(({ name, plugin, handles }) => {
      const versions = handles.filter((one) => one.eventType === eventType).flatMap((one) => one.versions);
      return versions.length === 0 ? [] : [{ skill: name, plugin, versions }];
    }),
    emittedBy: skills.flatMap(({ name, plugin, emits = [] }) =>
      emits.filter((one) => one.eventType === eventType).map(({ version }) => ({ skill: name, plugin, version })),
    ),
  }));
}

export function judgeUsers(registry: ContractRegistry, users: readonly EventUsers[]): readonly Judgement[] {
  return users.flatMap(({ eventType, handledBy, emittedBy }) => {
    const say = (version: string, message: string): Judgement => ({ level: "warning", eventType, version, file: "", path: "", message });
    const known = registry.types.get(eventType)?.versions.map(({ version }) => version);
    const judgements: Judgement[] = [];
    for (const { skill, plugin, versions } of known === undefined ? [] : handledBy)
      for (const range of versions)
        if (known?.some((version) => versionInRange(version, range)) === false)
          judgements.push(
            say(
              range,
              `skill '${skill}' of plugin '${plugin}' handles ${range}, and there is no such version (${known.join(", ")}); take it out of 'handles', or add its contract`,
            ),
          );
    for (const { skill, plugin, version } of emittedBy) {
      if (known === undefined)
        judgements.push(say(version, `skill '${skill}' of plugin '${plugin}' emits it, and it has no contract; add ${eventType}/${version}.json`));
      else if (!known.includes(version))
        judgements.push({
          ...say(
            version,
            `skill '${skill}' of plugin '${plugin}' emits ${version}, and there is no such version (${known.join(", ")}); name another in 'emits', or add its contract`,
          ),
          level: "breaking",
        });
    }
    if (emittedBy.length > 0 && handledBy.length === 0)
      judgements.push(say("", `is emitted by ${emittedBy.map(({ skill }) => `'${skill}'`).join(", ")}, and no skill of this configuration handles it`));
    return judgements;
  });
}
