import type { Command } from "commander";
import { atLeast, benchCommand, runs } from "../support/command.ts";

export function reloadCommand(): Command {
  const command = benchCommand({
    name: "reload",
    summary: "from a saved file to the first event that its code handles, with `dev --plugin --watch`",
    about: `The command as it is published (it is built first) runs a plugin with a schema, a dependency and its stub, on a stream of events. Its module is rewritten some times, as an author saves it. What is measured is the time from then until the skill handles an event with the new code, by the skill's own clock, which is the same machine's; beside it what the command says that a reload took. Every event must be handled, and once.`,
  })
    .option("--rounds <n>", "saves that are counted; one before them is not", atLeast(1), 9)
    .option("--pause <ms>", "from one that is at work to the next save", atLeast(0), 4_000)
    .option("--rate <n>", "events a second", atLeast(1), 50);
  return runs(command, () => import("./run.ts"));
}
