// What differs in the keywords that bound one value.
import type { JsonSchema } from "../skills/author/schema.ts";
import { type Node, listOf, textOf } from "./schema-view.ts";

/** `old-events`: who reads by the new version meets events of the old one; `new-events`: who reads by the old version meets events of the new one. */
export type Breaks = "old-events" | "new-events";

export interface SchemaChange {
  /** Of the field in the payload, as `/items/*` + `/price`; empty for the payload itself. */
  readonly path: string;
  readonly what: "added" | "removed" | "changed";
  /** Empty: compatible. */
  readonly breaks: readonly Breaks[];
  readonly message: string;
  /** It takes the same payloads as before. */
  readonly isText?: boolean;
  /** Of a field that was removed: it had been deprecated. */
  readonly wasDeprecated?: boolean;
}

export interface Differ {
  /** The documents that references lead into. */
  readonly before: JsonSchema;
  readonly after: JsonSchema;
  say(change: SchemaChange): void;
  compare(path: string, before: unknown, after: unknown): void;
}

/** Two schemas of the same place. */
export interface Spot {
  readonly path: string;
  readonly from: Node;
  readonly to: Node;
  readonly differ: Differ;
}

export const oldEvents: readonly Breaks[] = ["old-events"];
export const newEvents: readonly Breaks[] = ["new-events"];
export const bothWays: readonly Breaks[] = ["old-events", "new-events"];

const valuesShownMax = 5;

export function compareValues({ path, from, to, differ }: Spot): void {
  const changed = (breaks: readonly Breaks[], message: string): void => differ.say({ path, what: "changed", breaks, message });
  const [before, after] = [from["enum"], to["enum"]];
  if (before === undefined && after === undefined) return;
  if (before === undefined) return changed(oldEvents, `values were free, and are limited to ${shown(listOf(after))}`);
  if (after === undefined) return changed(newEvents, `values were limited to ${shown(listOf(before))}, and are free`);
  const lacks = (list: readonly unknown[]) => (value: unknown) => !list.some((one) => textOf(one, false) === textOf(value, false));
  const removed = listOf(before).filter(lacks(listOf(after)));
  const added = listOf(after).filter(lacks(listOf(before)));
  if (removed.length > 0) changed(oldEvents, `values were removed: ${shown(removed)}`);
  if (added.length > 0) changed(newEvents, `values were added: ${shown(added)}, which readers of the older version do not know`);
}

function shown(values: readonly unknown[]): string {
  const texts = values.slice(0, valuesShownMax).map((value) => JSON.stringify(value));
  return `${texts.join(", ")}${values.length > valuesShownMax ? ` and ${values.length - valuesShownMax} more` : ""}`;
}

const lowerBounds = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const upperBounds = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
const forms = ["format", "pattern", "contentEncoding", "contentMediaType"];

export function compareBounds(spot: Spot): void {
  for (const keyword of lowerBounds) compareBound(spot, keyword, 1);
  for (const keyword of upperBounds) compareBound(spot, keyword, -1);
  compareMultiple(spot);
  for (const keyword of forms) compareForm(spot, keyword);
  const [was, is] = [spot.from["uniqueItems"] === true, spot.to["uniqueItems"] === true];
  if (was !== is)
    spot.differ.say({
      path: spot.path,
      what: "changed",
      breaks: is ? oldEvents : newEvents,
      message: is ? "items must be unique now" : "items may repeat now",
    });
}

/** `tighter`: 1 where a greater bound lets less through, else -1. */
function compareBound({ path, from, to, differ }: Spot, keyword: string, tighter: 1 | -1): void {
  const [before, after] = [from[keyword], to[keyword]];
  if (before === after) return;
  const isTightened = before === undefined || (after !== undefined && (Number(after) - Number(before)) * tighter > 0);
  differ.say({
    path,
    what: "changed",
    breaks: isTightened ? oldEvents : newEvents,
    message: `${keyword} was ${isTightened ? "tightened" : "loosened"}, from ${bound(before)} to ${bound(after)}`,
  });
}

function bound(value: unknown): string {
  return value === undefined ? "none" : typeof value === "string" ? value : JSON.stringify(value);
}

function compareMultiple({ path, from, to, differ }: Spot): void {
  const [before, after] = [from["multipleOf"], to["multipleOf"]];
  if (before === after) return;
  const divides = (one: unknown, other: unknown): boolean => Number(other) % Number(one) === 0;
  const breaks =
    before === undefined ? oldEvents : after === undefined ? newEvents : divides(before, after) ? oldEvents : divides(after, before) ? newEvents : bothWays;
  differ.say({ path, what: "changed", breaks, message: `multipleOf changed from ${bound(before)} to ${bound(after)}` });
}

function compareForm({ path, from, to, differ }: Spot, keyword: string): void {
  const [before, after] = [from[keyword], to[keyword]];
  if (before === after) return;
  const breaks = before === undefined ? oldEvents : after === undefined ? newEvents : bothWays;
  differ.say({ path, what: "changed", breaks, message: `${keyword} changed from ${bound(before)} to ${bound(after)}` });
}
