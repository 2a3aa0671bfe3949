/**
 * A file of stubs, beside a skill: a module that exports by default a list of what `stub(…)` made. Its tests, `holdfast debug --stubs` and
 * `holdfast dev --plugin` take the same one.
 */
import { ConfigurationError } from "../core/errors.ts";
import { show } from "../skills/author/check-options.ts";
import { isDependency } from "../skills/author/define-dependency.ts";
import type { Stub } from "./stub.ts";

function isStub(value: unknown): value is Stub {
  return typeof value === "object" && value !== null && "answer" in value && isDependency((value as Partial<Stub>).dependency);
}

/** Throws `ConfigurationError`, which names `where` they are from. */
export function checkStubs(where: string, value: unknown): readonly Stub[] {
  if (!Array.isArray(value) || !value.every(isStub))
    throw new ConfigurationError(`${where}: expected it to export by default a list of what stub(…) makes, got ${show(value)}`);
  const names = value.map(({ dependency }) => dependency.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new ConfigurationError(`${where}: expected one stub of each dependency, found two of '${twice}'`);
  return value;
}
