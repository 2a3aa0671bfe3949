/** Arguments as commands read them. */
import { InvalidArgumentError } from "commander";

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

/** An option that may be given several times. */
export function several(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}
