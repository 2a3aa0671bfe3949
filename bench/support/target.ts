/** What a figure should be, and whether it is. */
import { type Figure, figureText, median } from "./figures.ts";

export interface Target {
  readonly what: string;
  /** Its median is held to the target. */
  readonly found: Figure;
  readonly unit: string;
  readonly bound: { readonly atMost: number } | { readonly atLeast: number } | { readonly below: number };
  /** What it should become; not held to. */
  readonly aim?: number;
}

export function isMet({ found, bound }: Target): boolean {
  const value = median(found.samples);
  if ("atMost" in bound) return value <= bound.atMost;
  return "below" in bound ? value < bound.below : value >= bound.atLeast;
}

/** The row that tells it. */
export function targetRow(target: Target): string[] {
  const { what, found, unit, aim } = target;
  const withUnit = (text: string): string => (unit === "" ? text : `${text} ${unit}`);
  return [what, withUnit(boundText(target) + (aim === undefined ? "" : `, aim ${aim}`)), withUnit(figureText(found)), isMet(target) ? "met" : "MISSED"];
}

function boundText({ bound }: Target): string {
  if ("atMost" in bound) return `at most ${bound.atMost}`;
  return "below" in bound ? `below ${bound.below}` : `at least ${bound.atLeast}`;
}
