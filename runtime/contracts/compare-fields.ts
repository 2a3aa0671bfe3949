// What differs in the fields of an object.
import { type Breaks, type SchemaChange, type Spot, bothWays, newEvents, oldEvents } from "./compare-keywords.ts";
import { type Node, listOf, recordOf, textOf } from "./schema-view.ts";

export function compareFields(spot: Spot): void {
  const { path, from, to, differ } = spot;
  const [before, after] = [fieldsOf(from), fieldsOf(to)];
  const changes: SchemaChange[] = [];
  for (const [name, field] of before) {
    const other = after.get(name);
    const place = `${path}/${name}`;
    if (other === undefined) {
      changes.push(removed(place, field, renamedTo(name, field, before, after)));
      continue;
    }
    differ.compare(place, field.schema, other.schema);
    if (!field.isRequired && other.isRequired) changes.push(changed(place, oldEvents, "was optional, and is required now: older events may lack it"));
    if (field.isRequired && !other.isRequired)
      changes.push(changed(place, newEvents, "was required, and is optional now: readers of the older version count on it"));
  }
  for (const [name, { isRequired }] of after) {
    if (before.has(name)) continue;
    const message = isRequired ? "was added as required: older events lack it" : "was added, optional";
    changes.push({ path: `${path}/${name}`, what: "added", breaks: isRequired ? oldEvents : [], message });
  }
  for (const change of changes) differ.say(change);
  compareMore(spot);
}

interface Field {
  readonly schema: unknown;
  readonly isRequired: boolean;
}

function fieldsOf({ properties, required }: Node): ReadonlyMap<string, Field> {
  const needed = new Set(listOf(required).map(String));
  const fields = new Map(Object.entries(recordOf(properties)).map(([name, schema]) => [name, { schema, isRequired: needed.has(name) }] as const));
  for (const name of needed) if (!fields.has(name)) fields.set(name, { schema: {}, isRequired: true });
  return fields;
}

function changed(path: string, breaks: readonly Breaks[], message: string): SchemaChange {
  return { path, what: "changed", breaks, message };
}

function removed(path: string, { schema }: Field, other: string | undefined): SchemaChange {
  const hint = other === undefined ? "" : `; where it was renamed to '${other}', keep both for a major`;
  return { path, what: "removed", breaks: bothWays, message: `was removed${hint}`, wasDeprecated: recordOf(schema)["deprecated"] === true };
}

/** The one field that is new and takes the same. */
function renamedTo(name: string, { schema }: Field, before: ReadonlyMap<string, Field>, after: ReadonlyMap<string, Field>): string | undefined {
  const alike = [...after].filter(([other, field]) => other !== name && !before.has(other) && textOf(field.schema) === textOf(schema));
  return alike.length === 1 ? alike[0]?.[0] : undefined;
}

/** What an object may have beside the fields that are named. Readers leave alone what they do not know, so that one which is opened breaks nobody. */
function compareMore({ path, from, to, differ }: Spot): void {
  const [before, after] = [from["additionalProperties"] ?? true, to["additionalProperties"] ?? true];
  if (before === after && typeof before === "boolean") return;
  const place = `${path}/*`;
  if (after === false) differ.say(changed(place, oldEvents, "other fields were allowed, and are refused now: older events may have some"));
  else if (before === false) differ.say(changed(place, [], "other fields were refused, and are allowed now"));
  else if (before === true) differ.say(changed(place, oldEvents, "other fields were anything, and are limited now"));
  else if (after === true) differ.say(changed(place, newEvents, "other fields were limited, and are anything now"));
  else differ.compare(place, before, after);
}

/** The places of all fields that are marked as deprecated. */
export function deprecatedFields(schema: unknown, viewOf: (schema: unknown) => Node, path = "", depth = 0): ReadonlySet<string> {
  const found = new Set<string>();
  if (depth > 32) return found;
  const { properties, items } = viewOf(schema);
  const below = [...Object.entries(recordOf(properties)), ...(items === undefined || Array.isArray(items) ? [] : [["*", items] as const])];
  for (const [name, field] of below) {
    const place = `${path}/${name}`;
    if (viewOf(field)["deprecated"] === true) found.add(place);
    for (const inner of deprecatedFields(field, viewOf, place, depth + 1)) found.add(inner);
  }
  return found;
}
