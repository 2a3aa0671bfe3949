// Checks payloads against what a skill says they are.
import type { PayloadSchema } from "../author/schema.ts";
import { type Decoded, refuse } from "./decode-body.ts";
import { type Checked, compileSchema } from "./schema-check.ts";

/** Answers at once where the validator does. */
export type CheckPayload = (payload: unknown) => Decoded<unknown> | Promise<Decoded<unknown>>;

const issuesShownMax = 3;
const pathMax = 120;
const messageMax = 200;

function judge(owner: string, checked: Checked): Decoded<unknown> {
  if (checked.ok) return checked;
  const { issues } = checked;
  const shown = issues
    .slice(0, issuesShownMax)
    .map(({ path, message }) => `${["payload", ...path].join("/").slice(0, pathMax)}: ${message.slice(0, messageMax)}`);
  const more = issues.length - shown.length;
  return refuse("InvalidPayload", `${owner}: ${shown.join("; ")}${more > 0 ? `; and ${more} more` : ""}`);
}

/** Compiles a schema, once a thread; `owner` names it in what is said of a payload, `place` to who wrote it. Throws `ConfigurationError` when it cannot be. */
export async function compilePayloadCheck(owner: string, schema: PayloadSchema<unknown> | undefined, place = `${owner}.payload`): Promise<CheckPayload> {
  if (schema === undefined) return (payload) => ({ ok: true, value: payload });
  const check = await compileSchema(place, schema);
  return (payload) => {
    const checked = check(payload);
    return checked instanceof Promise ? checked.then((later) => judge(owner, later)) : judge(owner, checked);
  };
}
