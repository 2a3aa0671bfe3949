/** Carries out what the arguments say, and ends with a code of the one table. */
import { type Command, CommanderError } from "commander";
import { exitCodes } from "./exit-codes.ts";
import { writeFailure, writeMisuse } from "./last-words.ts";
import { isJsonLog } from "./log-line.ts";
import { ConfigurationError, HoldfastError, messageOf } from "../core/errors.ts";
import { redact } from "../core/redact.ts";

/** What a user can mend says so in its message, and is shown without a stack; undefined for a defect, which is thrown on. */
export type Mendable = (error: unknown) => { readonly message: string; readonly code: number } | undefined;

/** What the runtime throws tells a user what to do. */
export const ofTheRuntime: Mendable = (error) => {
  if (!(error instanceof HoldfastError)) return undefined;
  return { message: redact(error.message), code: error instanceof ConfigurationError ? exitCodes.usage : exitCodes.failed };
};

/** `args` are those behind the program's name. Sets the exit code; throws what is no trouble that a user could mend. */
export async function carryOut(program: Command, mendable: Mendable = () => undefined, args: readonly string[] = process.argv.slice(2)): Promise<void> {
  const said: string[] = [];
  throwInsteadOfExiting(program, isJsonLog() ? (text) => said.push(text) : undefined);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    // Commander has said what is wrong, in a line, or what was asked for.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.good : exitCodes.usage;
      if (said.length > 0) writeMisuse(said.join(""));
      return;
    }
    const told = mendable(error);
    if (told === undefined && !isJsonLog()) throw error;
    process.exitCode = told?.code ?? exitCodes.failed;
    writeFailure(error, { message: told?.message ?? messageOf(error), exitCode: process.exitCode, isDefect: told === undefined });
  }
}

function throwInsteadOfExiting(command: Command, writeErr?: (text: string) => void): void {
  command.exitOverride();
  if (writeErr !== undefined) command.configureOutput({ writeErr });
  for (const inner of command.commands) throwInsteadOfExiting(inner, writeErr);
}
