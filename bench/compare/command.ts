import { Command, InvalidArgumentError } from "commander";
import { helpWidth } from "../support/command.ts";

export function compareCommand(): Command {
  return new Command("compare")
    .summary("what has changed between two runs, and what is noise")
    .description(
      `Compares the ratios of two files that a bench or \`all\` has written: ratios within a run carry over from one to the next, figures do not. For each, the median of B is divided by that of A, with an interval that holds 95 % of what samples drawn again from both give. Where that lies wholly on one side of 1, by more than the tolerance, something has changed. Ends with 1 if something has become worse.`,
    )
    .configureHelp({ helpWidth })
    .argument("<A>", "the file of the earlier run")
    .argument("<B>", "the file of the later one")
    .option("--all", "print also what has not changed")
    .option("--tolerance <share>", "a change of less is none", toleranceOf, 0.02)
    .action(async (before: string, after: string, options: { readonly all?: boolean; readonly tolerance: number }) => {
      const { run } = await import("./run.ts");
      process.exitCode = run(before, after, options);
    });
}

/** Reads a share of 1. */
export function toleranceOf(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value < 1) || text.trim() === "") throw new InvalidArgumentError("Expected a number from 0 to below 1.");
  return value;
}
