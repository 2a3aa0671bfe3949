/**
 * The configuration is laid together of layers, the later ones before the earlier: defaults, the file, the environment, flags. What is
 * said in the environment or by a flag is an assignment of a value to a place, and each value knows where it comes from.
 */
import { choices } from "./explain.ts";
import { valueAt } from "./value-at.ts";

export interface Assignment {
  readonly path: readonly string[];
  readonly value: unknown;
  /** The variable, or the flag. */
  readonly by: string;
}

type Plain = Readonly<Record<string, unknown>>;

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The same with these values in their places; the input stays as it is. */
export function withAssignments(input: unknown, assignments: readonly Assignment[]): unknown {
  const cleared = assignments.reduce((whole, { path, value }) => withoutOther(whole, path, value, []), input);
  const inOrder = assignments.toSorted((one, other) => one.path.length - other.path.length);
  return inOrder.reduce((whole, { path, value }) => assigned(whole, path, value), cleared);
}

const secretKeys: readonly string[] = ["file", "env", "keyVault"];

/** Takes away what a lower layer says in another way: of a store of another kind, or of the other of two ways to say the same. */
function withoutOther(input: unknown, [key, ...rest]: readonly string[], value: unknown, place: readonly string[]): unknown {
  if (key === undefined || !(isPlain(input) || Array.isArray(input))) return input;
  if (rest.length > 0) {
    const kept = isPlain(input) ? withoutOtherWays(input, key, place) : input;
    const found = valueAt(kept, [key]);
    return found === undefined ? kept : assigned(kept, [key], withoutOther(found, rest, value, [...place, key]));
  }
  if (!isPlain(input)) return input;
  if (key === "kind") return input["kind"] === value ? input : {};
  // Of a secret that lies elsewhere, another place takes the place of the first.
  if (secretKeys.includes(key) && Object.keys(input).every((name) => secretKeys.includes(name))) return {};
  return withoutOtherWays(input, key, place);
}

function withoutOtherWays(input: Plain, key: string, place: readonly string[]): Plain {
  const ways = choices.get(place.join(".").replace(/\.\d+$/, ".#")) ?? [];
  const others = ways.some((keys) => keys.includes(key)) ? ways.filter((keys) => !keys.includes(key)).flat() : [];
  return Object.fromEntries(Object.entries(input).filter(([name]) => !others.includes(name)));
}

function assigned(input: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value;
  const inner = assigned(valueAt(input, [key]), rest, value);
  if (Array.isArray(input)) return Object.assign([...(input as readonly unknown[])], { [key]: inner });
  if (isPlain(input)) return { ...input, [key]: inner };
  return /^\d+$/.test(key) ? Object.assign([], { [key]: inner }) : { [key]: inner };
}

/** Where a value comes from. */
export type Origin = { readonly layer: "default" } | { readonly layer: "file" } | { readonly layer: "environment" | "flag"; readonly by: string };

function isWithin(path: readonly string[], other: readonly string[]): boolean {
  return path.every((key, index) => other[index] === key);
}

export interface Layers {
  /** As the file has it. */
  readonly file: unknown;
  readonly environment: readonly Assignment[];
  readonly flags: readonly Assignment[];
}

export function originOf({ file, environment, flags }: Layers, path: readonly string[]): Origin {
  const about = ({ path: assignedTo }: Assignment): boolean => isWithin(assignedTo, path) || isWithin(path, assignedTo);
  const flag = flags.findLast(about);
  if (flag !== undefined) return { layer: "flag", by: flag.by };
  const variable = environment.findLast(about);
  if (variable !== undefined) return { layer: "environment", by: variable.by };
  return valueAt(file, path) === undefined ? { layer: "default" } : { layer: "file" };
}
