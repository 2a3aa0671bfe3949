// Which schema versions a skill handles: `1.x` is every minor version of major 1, `1.2` that version alone.
import { refuse } from "./check-options.ts";

/** Versions of an event: `1.x` is every minor version of major 1, `1.2` that version alone. */
export type VersionRange = `${number}.x` | `${number}.${number}`;

const rangePattern = /^(\d{1,4})\.(x|\d{1,4})$/;

export function checkVersionRange(owner: string, range: unknown): string {
  if (typeof range !== "string" || !rangePattern.test(range)) refuse(owner, "a version such as '1.x' (any minor) or '1.2' (exactly)", range);
  return range;
}

/** Whether a `major.minor` version lies in the range. Both are well-formed. */
export function versionInRange(version: string, range: string): boolean {
  return range.endsWith(".x") ? version.startsWith(range.slice(0, -1)) : version === range;
}

/** Whether any version lies in both ranges. */
export function rangesOverlap(one: string, other: string): boolean {
  if (one.endsWith(".x")) return other.startsWith(one.slice(0, -1));
  return versionInRange(one, other);
}
