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

/** Met, and yet not where it should become; missed targets are more than that. */
export function isShortOfAim({ found, bound, aim, ...target }: Target): boolean {
  if (aim === undefined || !isMet({ found, bound, ...target })) return false;
  const value = median(found.samples);
  return "atLeast" in bound ? value < aim : value > aim;
}

/** The row that tells it. */
export function targetRow(target: Target): string[] {
  const { what, found, unit, aim } = target;
  const withUnit = (text: string): string => (unit === "" ? text : `${text} ${unit}`);
  return [what, withUnit(boundText(target) + (aim === undefined ? "" : `, aim ${aim}`)), withUnit(figureText(found)), verdictOf(target)];
}

function verdictOf(target: Target): string {
  if (!isMet(target)) return "MISSED";
  return isShortOfAim(target) ? "short of its aim" : "met";
}

function boundText({ bound }: Target): string {
  if ("atMost" in bound) return `at most ${bound.atMost}`;
  return "below" in bound ? `below ${bound.below}` : `at least ${bound.atLeast}`;
}
