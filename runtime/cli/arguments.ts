/** Arguments as commands read them. */
import { type Command, InvalidArgumentError } from "commander";

/** A whole number of 1 or more. */
export function integer(text: string): number {
  return integerFrom(text, 1);
}

/** A whole number of 0 or more. */
export function count(text: string): number {
  return integerFrom(text, 0);
}

function integerFrom(text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < least)
    throw new InvalidArgumentError(`expected a whole number of ${least} or more, got '${text}'.`);
  return value;
}

/**
 * The value of an option that must be there. Commander's own required options are looked for before those that it does not know are
 * named, which may be the same option misspelt.
 */
export function required<T>(command: Command, option: string, value: T | undefined): T {
  return value ?? command.error(`error: required option '${option}' not specified`);
}

const unitsMs: ReadonlyMap<string, number> = new Map([
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** A time such as `90s`, in milliseconds. */
export function duration(text: string): number {
  const [, number, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const unitMs = unitsMs.get(unit);
  if (number === undefined || unitMs === undefined) throw new InvalidArgumentError(`expected a number and s, m, h or d, such as 10m, got '${text}'.`);
  return Number(number) * unitMs;
}

/** An option that may be given several times. */
export function several(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}

/** Behind what was wrong with a command's arguments: a whole page of help would push that off the screen. */
export const helpHint = "`--help` behind the command lists what it can be asked";
