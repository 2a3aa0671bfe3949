import { type Command } from "commander";
import { namesOf, runs, scenarioCommand } from "../support/command.ts";
import { scenarioNames } from "./scenarios.ts";

export function allCommand(): Command {
  const command = scenarioCommand({
    name: "all",
    summary: "every scenario, one after the other, and one page with their charts",
    about: `Runs ${scenarioNames.join(", ")}, each in a process of its own, prints its tables, and writes what all have found as results.json and as results.html, which needs nothing else to be opened; both are written after each scenario, so that what was found is there when it is interrupted. Ends with 0 only if every guard and every gate held.`,
  })
    .option("--out <folder>", "where to write", "bench/out")
    .option("--continue", "run only what the folder's results.json does not hold yet, and add it there; what has found something wrong is run again")
    .option("--only <names>", "some of them", namesOf(scenarioNames), scenarioNames);
  return runs(command, () => import("./run.ts"));
}
