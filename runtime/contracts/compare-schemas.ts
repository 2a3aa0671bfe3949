/**
 * What two versions of a schema differ in, and whom each difference breaks. Both ways are looked at: who reads by the new version still gets events of the old one, and
 * who reads by the old one gets events of the new. So narrowing breaks the former and widening the latter; an optional field that is added breaks nobody, for readers
 * leave alone what they do not know.
 */
import type { JsonSchema } from "../skills/author/schema.ts";
import { compareFields } from "./compare-fields.ts";
import { type Differ, type SchemaChange, type Spot, bothWays, compareBounds, compareValues, newEvents, oldEvents } from "./compare-keywords.ts";
import { type Node, listOf, recordOf, textOf, viewOf } from "./schema-view.ts";

/** Of them nothing is known but whether they are the same. */
const opaque = [
  "not",
  "if",
  "then",
  "else",
  "contains",
  "minContains",
  "maxContains",
  "allOf",
  "patternProperties",
  "propertyNames",
  "dependentRequired",
  "dependentSchemas",
  "dependencies",
  "unevaluatedProperties",
  "unevaluatedItems",
  "$ref",
  "$dynamicRef",
];

export function compareSchemas(before: JsonSchema, after: JsonSchema): readonly SchemaChange[] {
  const changes: SchemaChange[] = [];
  const open = new Set<string>();
  const differ: Differ = {
    say: (change) => void changes.push(change),
    compare(path, one, other) {
      const [from, to] = [viewOf(before, one), viewOf(after, other)];
      const spot: Spot = { path, from, to, differ };
      // A schema that refers to itself is looked at once.
      const key = `${textOf(from)} ${textOf(to)}`;
      if (open.has(key)) return;
      open.add(key);
      compareSpot(spot);
      open.delete(key);
    },
  };
  differ.compare("", before, after);
  return changes;
}

function compareSpot(spot: Spot): void {
  const { from, to } = spot;
  compareAnnotations(spot);
  const [before, after] = [alternativesIn(from), alternativesIn(to)];
  if (before !== undefined || after !== undefined) compareAlternatives(spot);
  // Where one has none, it is itself the alternative.
  if ((before === undefined) !== (after === undefined)) return;
  // Where the type is another, everything else is, too.
  if (compareTypes(spot)) return;
  compareValues(spot);
  compareBounds(spot);
  compareFields(spot);
  compareItems(spot);
  compareOpaque(spot, opaque);
}

function compareAnnotations({ path, from, to, differ }: Spot): void {
  const was = from["deprecated"] === true;
  const is = to["deprecated"] === true;
  if (was !== is) differ.say({ path, what: "changed", breaks: [], isText: true, message: is ? "deprecated" : "no longer deprecated" });
}

function typesOf({ type }: Node): ReadonlySet<string> | undefined {
  if (type === undefined) return undefined;
  return new Set(typeof type === "string" ? [type] : listOf(type).map(String));
}

/** Every integer is a number. */
function covers(types: ReadonlySet<string> | undefined, type: string): boolean {
  return types === undefined || types.has(type) || (type === "integer" && types.has("number"));
}

function nameOf(types: ReadonlySet<string> | undefined): string {
  return types === undefined ? "anything" : [...types].join(" or ");
}

/** True when it is another. */
function compareTypes({ path, from, to, differ }: Spot): boolean {
  const [before, after] = [typesOf(from), typesOf(to)];
  const isNarrowed = before === undefined ? after !== undefined : [...before].some((type) => !covers(after, type));
  const isWidened = after === undefined ? before !== undefined : [...after].some((type) => !covers(before, type));
  if (!isNarrowed && !isWidened) return false;
  const breaks = isNarrowed && isWidened ? bothWays : isNarrowed ? oldEvents : newEvents;
  differ.say({ path, what: "changed", breaks, message: `type changed from ${nameOf(before)} to ${nameOf(after)}` });
  return true;
}

function alternativesIn(node: Node): readonly unknown[] | undefined {
  const parts = node["anyOf"] ?? node["oneOf"];
  return Array.isArray(parts) ? parts : undefined;
}

/** What tells alternatives apart: their values of fields that are constants. */
function signOf(part: unknown): string {
  const fields = Object.entries(recordOf(recordOf(part)["properties"]));
  return fields
    .flatMap(([name, field]) => ("const" in recordOf(field) ? [`${name} ${JSON.stringify(recordOf(field)["const"])}`] : []))
    .sort()
    .join(", ");
}

function nameOfAlternative(part: unknown): string {
  const { title, type, $ref } = recordOf(part);
  const sign = signOf(part);
  const named = [title, sign === "" ? undefined : sign, typeof $ref === "string" ? $ref.split("/").at(-1) : undefined, type].find(
    (name) => typeof name === "string",
  );
  return typeof named === "string" ? `'${named}'` : textOf(part).slice(0, 80);
}

function compareAlternatives({ path, from, to, differ }: Spot): void {
  const bare = ({ anyOf: _any, oneOf: _one, ...rest }: Node): Node => rest;
  const [before, after] = [alternativesIn(from), alternativesIn(to)];
  const left = [...(before ?? [bare(from)])];
  const added: unknown[] = [];
  const changed: (readonly [unknown, unknown])[] = [];
  const take = (matches: (part: unknown) => boolean): unknown => {
    const index = left.findIndex(matches);
    return index < 0 ? undefined : left.splice(index, 1)[0];
  };
  const others = (after ?? [bare(to)]).filter((part) => take((one) => textOf(one) === textOf(part)) === undefined);
  for (const part of others) {
    const sign = signOf(part);
    const same = sign === "" ? undefined : take((one) => signOf(one) === sign);
    if (same === undefined) added.push(part);
    else changed.push([same, part]);
  }
  if (left.length === 1 && added.length === 1 && left[0] !== undefined) changed.push([left.pop(), added.pop()]);
  for (const [one, other] of changed) differ.compare(path, one, other);
  for (const part of added) differ.say({ path, what: "changed", breaks: newEvents, message: `an alternative was added, ${nameOfAlternative(part)}` });
  for (const part of left) differ.say({ path, what: "changed", breaks: oldEvents, message: `an alternative was removed, ${nameOfAlternative(part)}` });
  const [wasOne, isOne] = [from["oneOf"] !== undefined, to["oneOf"] !== undefined];
  if (before !== undefined && after !== undefined && wasOne !== isOne)
    differ.say({ path, what: "changed", breaks: isOne ? oldEvents : newEvents, message: isOne ? "anyOf became oneOf" : "oneOf became anyOf" });
}

function compareItems({ path, from, to, differ }: Spot): void {
  const tupleOf = ({ prefixItems, items }: Node): readonly unknown[] => listOf(prefixItems ?? items);
  const restOf = ({ items, additionalItems }: Node): unknown => (Array.isArray(items) ? additionalItems : items);
  const [before, after] = [tupleOf(from), tupleOf(to)];
  for (const [index, item] of before.slice(0, after.length).entries()) differ.compare(`${path}/${index}`, item, after[index]);
  if (before.length !== after.length)
    differ.say({ path, what: "changed", breaks: bothWays, message: `the number of its places changed from ${before.length} to ${after.length}` });
  const [rest, newRest] = [restOf(from), restOf(to)];
  const isAny = (schema: unknown): boolean => schema === undefined || schema === true;
  if (isAny(rest) && isAny(newRest)) return;
  if (isAny(rest)) differ.say({ path: `${path}/*`, what: "changed", breaks: oldEvents, message: "its items were anything, and are limited now" });
  else if (isAny(newRest)) differ.say({ path: `${path}/*`, what: "changed", breaks: newEvents, message: "its items were limited, and are anything now" });
  else differ.compare(`${path}/*`, rest, newRest);
}

function compareOpaque({ path, from, to, differ }: Spot, keywords: readonly string[]): void {
  for (const keyword of keywords)
    if (textOf(from[keyword]) !== textOf(to[keyword]))
      differ.say({ path, what: "changed", breaks: bothWays, message: `${keyword} changed, which cannot be told to be compatible` });
}
