/** The command line that repeats what a drill did. */
import type { Command } from "commander";

/** With every number and name that it went by, also where they were the defaults. How it prints is no part of it. */
export function repeatOf(command: Command): string {
  const given = command.options.flatMap((option) => {
    const value = command.getOptionValue(option.attributeName()) as string | number | boolean | readonly string[] | undefined;
    if (option.long === "--json" || value === undefined || value === false) return [];
    return value === true ? [option.long] : [option.long, String(value)];
  });
  return ["npm run drill --", command.name(), ...given].join(" ");
}
