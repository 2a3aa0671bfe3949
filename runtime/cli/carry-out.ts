/** Carries out what the arguments say, and ends with a code of the one table. */
import { type Command, CommanderError } from "commander";
import { exitCodes } from "./exit-codes.ts";
import { writeNote } from "./output.ts";

/** What a user can mend says so in its message, and is shown without a stack; undefined for a defect, which is thrown on. */
export type Mendable = (error: unknown) => { readonly message: string; readonly code: number } | undefined;

/** `args` are those behind the program's name. Sets the exit code; throws what is no trouble that a user could mend. */
export async function carryOut(program: Command, mendable: Mendable = () => undefined, args: readonly string[] = process.argv.slice(2)): Promise<void> {
  throwInsteadOfExiting(program);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    // Commander has said what is wrong, in a line, or what was asked for.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.good : exitCodes.usage;
      return;
    }
    const told = mendable(error);
    if (told === undefined) throw error;
    writeNote(`holdfast: ${told.message}`);
    process.exitCode = told.code;
  }
}

function throwInsteadOfExiting(command: Command): void {
  command.exitOverride();
  for (const inner of command.commands) throwInsteadOfExiting(inner);
}
