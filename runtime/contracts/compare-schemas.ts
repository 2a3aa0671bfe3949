/**
 * What two versions of a schema differ in, and whom each difference breaks. Both ways are looked at: who reads by the new version still gets events of the old one, and
 * who reads by the old one gets events of the new. So narrowing breaks the former and widening the latter; an optional field that is added breaks nobody, for readers
 * leave alone what they do not know.
 */
import type { JsonSchema } from "../skills/author/schema.ts";
import { compareFields } from "./compare-fields.ts";
import { type Differ, type SchemaChange, type Spot, bothWays, compareBounds, compareValues, newEvents, oldEvents } from "./compare-keywords.ts";
import { type Node, listOf, recordOf, refersElsewhere, textOf, viewOf, wholeTextOf } from "./schema-view.ts";

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
  // Pairs in which nothing is another: definitions that many places refer to are looked at once.
  const alike = new Set<string>();
  const differ: Differ = {
    before,
    after,
    say: (change) => void changes.push(change),
    compare(path, one, other) {
      const [from, to] = [viewOf(before, one), viewOf(after, other)];
      const spot: Spot = { path, from, to, differ };
      // A schema that refers to itself is looked at once.
      const key = `${textOf(from)} ${textOf(to)}`;
      if (open.has(key) || alike.has(key)) return;
      const saidCount = changes.length;
      open.add(key);
      compareSpot(spot);
      open.delete(key);
      if (changes.length === saidCount) alike.add(key);
    },
  };
  differ.compare("", before, after);
  return changes;
}

function compareSpot(spot: Spot): void {
  const { from, to } = spot;
  compareAnnotations(spot);
  const [before, after] = [splitUp(from), splitUp(to)];
  if (before.parts !== undefined || after.parts !== undefined) compareAlternatives(spot, before, after);
  // Where one has none, it is itself the alternative, and what stands beside the other's is a part of each of them.
  if ((before.parts === undefined) !== (after.parts === undefined)) return;
  // Where the type is another, everything else is, too.
  if (compareTypes(spot)) return;
  compareValues(spot);
  compareBounds(spot);
  compareFields(spot);
  compareItems(spot);
  compareOpaque(spot, [before, after].some(({ rest }) => "oneOf" in rest) ? [...opaque, "oneOf"] : opaque);
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

interface SplitUp {
  /** Undefined where there are no alternatives. */
  readonly parts: readonly unknown[] | undefined;
  readonly rest: Node;
}

/** A node that has both `anyOf` and `oneOf` keeps the latter beside its alternatives. */
function splitUp(node: Node): SplitUp {
  for (const keyword of ["anyOf", "oneOf"]) {
    const { [keyword]: parts, ...rest } = node;
    if (Array.isArray(parts)) return { parts: parts as readonly unknown[], rest };
  }
  return { parts: undefined, rest: node };
}

/** Alternatives with what stands beside them. */
function whole({ parts, rest }: SplitUp): readonly unknown[] {
  if (parts === undefined) return [rest];
  return textOf(rest) === "{}" ? parts : parts.map((part) => ({ allOf: [rest, part] }));
}

/** What tells alternatives apart: their values of fields that are constants. */
function signOf(root: JsonSchema, part: unknown): string {
  const fields = Object.entries(recordOf(viewOf(root, part)["properties"]));
  return fields
    .flatMap(([name, field]) => {
      const values = listOf(viewOf(root, field)["enum"]);
      return values.length === 1 ? [`${name} ${JSON.stringify(values[0])}`] : [];
    })
    .sort()
    .join(", ");
}

function nameOfAlternative(root: JsonSchema, part: unknown): string {
  const { title, type } = viewOf(root, part);
  const { $ref } = recordOf(part);
  const sign = signOf(root, part);
  const named = [title, sign === "" ? undefined : sign, typeof $ref === "string" ? $ref.split("/").at(-1) : undefined, type].find(
    (name) => typeof name === "string",
  );
  return typeof named === "string" ? `'${named}'` : textOf(part).slice(0, 80);
}

interface Paired {
  readonly pairs: readonly (readonly [unknown, unknown])[];
  readonly removed: readonly unknown[];
  readonly added: readonly unknown[];
}

/** Those that say the same are each other's, else those of the same sign, else the only two that are left. */
function pairUp({ differ }: Spot, before: readonly unknown[], after: readonly unknown[]): Paired {
  const removed = [...before];
  let added = after;
  const pairs: (readonly [unknown, unknown])[] = [];
  const pairBy = (signs: readonly [one: (part: unknown) => string, other: (part: unknown) => string]): void => {
    added = added.filter((part) => {
      const sign = signs[1](part);
      const index = sign === "" ? -1 : removed.findIndex((one) => signs[0](one) === sign);
      if (index >= 0) pairs.push([removed.splice(index, 1)[0], part]);
      return index < 0;
    });
  };
  pairBy([textOf, textOf]);
  pairBy([(part) => textOf(viewOf(differ.before, part)), (part) => textOf(viewOf(differ.after, part))]);
  pairBy([(part) => signOf(differ.before, part), (part) => signOf(differ.after, part)]);
  if (removed.length === 1 && added.length === 1) pairBy([() => "last", () => "last"]);
  return { pairs, removed, added };
}

function compareAlternatives(spot: Spot, before: SplitUp, after: SplitUp): void {
  const { path, from, to, differ } = spot;
  const areBoth = before.parts !== undefined && after.parts !== undefined;
  const { pairs, removed, added } = pairUp(spot, areBoth ? listOf(before.parts) : whole(before), areBoth ? listOf(after.parts) : whole(after));
  // The same text may refer to what is another.
  for (const [one, other] of pairs) if (textOf(one) !== textOf(other) || refersElsewhere(textOf(one))) differ.compare(path, one, other);
  for (const part of added)
    differ.say({ path, what: "changed", breaks: newEvents, message: `an alternative was added, ${nameOfAlternative(differ.after, part)}` });
  for (const part of removed)
    differ.say({ path, what: "changed", breaks: oldEvents, message: `an alternative was removed, ${nameOfAlternative(differ.before, part)}` });
  const [wasOne, isOne] = [from["oneOf"] !== undefined, to["oneOf"] !== undefined];
  if (areBoth && wasOne !== isOne)
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
  const textAt = (root: JsonSchema, node: Node, keyword: string): string => (keyword in node ? wholeTextOf(root, { [keyword]: node[keyword] }) : "");
  for (const keyword of keywords)
    if (textAt(differ.before, from, keyword) !== textAt(differ.after, to, keyword))
      differ.say({ path, what: "changed", breaks: bothWays, message: `${keyword} changed, which cannot be told to be compatible` });
}
