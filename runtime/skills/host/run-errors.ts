// What a run throws into its skill.
import { messageOf } from "../../core/errors.ts";
import { fieldOf } from "../../core/redact.ts";
import { show } from "../author/check-options.ts";
import { PermanentError } from "../author/errors.ts";

/** Thrown into a skill whose run has ended. What it does with it changes nothing. */
export class RunEnded extends Error {
  constructor() {
    super("this run has ended: it may start no step, make no call and emit nothing");
    this.name = "RunEnded";
  }
}

/** Runs a check of what the skill passed; trying again would not change its answer. */
export function permanently<Value>(code: string, check: () => Value): Value {
  try {
    return check();
  } catch (cause) {
    throw new PermanentError(messageOf(cause), { code, cause });
  }
}

export function nameOf(dependency: unknown): string {
  const name = fieldOf(dependency, "name");
  return typeof name === "string" ? `'${name.slice(0, 80)}'` : show(dependency);
}
