import { Command } from "commander";
import { helpWidth, runs } from "../support/command.ts";
import { toleranceOf } from "../compare/command.ts";

export function baselineCommand(): Command {
  const command = new Command("baseline")
    .summary("within two minutes: whether the worker is still as fast beside its peers as a saved run has it")
    .description(
      `Runs what tells most in little time: throughput of no-ops beside the bare SDK, subscribe with 200 calls and the loop around receiveMessages, four rounds each in turns, and mixed settling. Its ratios are compared with those of a saved run, as \`compare\` does. Ends with 1 if something was lost, settled wrong or done twice, or if a ratio has become worse by more than the tolerance, noise left out.

How far ahead of its peers the worker is depends on the machine's cores and on what shares them, so that no baseline comes with the project: save one on the machine that checks, while it does nothing else. A file of another kind of machine is refused.`,
    )
    .configureHelp({ helpWidth })
    .option("--file <file>", "the saved run", "bench/out/baseline.json")
    .option("--tolerance <share>", "a change of less is none", toleranceOf, 0.25)
    .option("--save", "save this run in place of comparing it");
  return runs(command, () => import("./run.ts"));
}
