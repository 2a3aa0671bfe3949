// What is wrong with an entity, in our own words; the broker's are long, and say it with ids and links.
import type { EntityTrouble } from "../../core/errors.ts";

/** Completes "found …"; `code` is the broker's own, by which it is looked up. */
export function entityTroubleText(trouble: EntityTrouble, code: string, said: string): string {
  switch (trouble) {
    case "missing":
      return `no entity of that name (${code})`;
    case "disabled":
      return `that it is disabled (${code})`;
    case "forbidden":
      // Which right is missing.
      return `${code}: ${said}`;
  }
}

export const entityRemedies: Readonly<Record<EntityTrouble, string>> = {
  missing: "create it, or correct its name in the configuration",
  disabled: "enable it in the namespace",
  forbidden: "check the key or the role assignment: listening and sending are separate rights",
};

/** What to do where nothing more is known than whether trying again can help: a broker that refuses for good is up and reachable. */
export function remedyWithout(isPermanent: boolean): string {
  return isPermanent
    ? "correct what it names: the entity's name or its kind in the configuration, or the message"
    : "check that the broker is up and reachable";
}
