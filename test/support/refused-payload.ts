import type { Skill } from "#runtime/index.ts";
import { compilePayloadCheck } from "#runtime/skills/host/payload.ts";

/** Why a skill's schema refuses a payload; undefined when it takes it. */
export async function refusalOf(skill: Skill, payload: unknown): Promise<string | undefined> {
  const check = await compilePayloadCheck(skill.name, skill.payload);
  const checked = await check(payload);
  return checked.ok ? undefined : checked.invalid.description;
}
