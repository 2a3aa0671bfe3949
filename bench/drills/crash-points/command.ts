import { Command, Option } from "commander";
import { helpWidth, atLeast, namesOf, runs } from "../../support/command.ts";
import { scenarios } from "./scenarios.ts";

export function crashPointsCommand(): Command {
  const names = scenarios.map(({ name }) => name);
  const command = new Command("crash-points")
    .summary("a crash at every call to broker, store and dependency, for every scenario")
    .description(
      `A scenario runs once without trouble, and its calls to the broker, the run store and the dependencies are numbered. Then it runs again for every call and every moment: the worker is killed before the call is made; after it was carried out and answered; after it was carried out, with the answer lost; it lives, and only the answer is lost; or the thread that called dies. So it is with the command that replays dead letters. Another worker takes over on the same broker and store. What is left is held against the promise from outside: every message ends, each event is completed or dead-lettered and never both, each effect happens as often as its step's kind allows, nothing acts under a claim that was taken over, compensations are the reverse of what was committed, and what was emitted is published under one id. Everything is the real thing but the broker (a model with exact locks and counts), the network and time, which are simulated, so that each case repeats exactly.`,
    )
    .configureHelp({ helpWidth })
    .option("--scenarios <names>", `some of ${names.join(", ")}`, namesOf(names), names)
    .option("--point <n>", "only this call of each scenario", atLeast(1))
    .addOption(new Option("--crashes <n>", "2 for a second crash at a call that is made after the first").choices(["1", "2"]).default("1"))
    .option("--cases <n>", "with two crashes: how many pairs of each scenario, drawn at random; a scenario has some thousands", atLeast(1), 1_000)
    .option("--seed <n>", "of that draw", atLeast(0), 1)
    .option("--verbose", "print each scenario's calls");
  return runs(command, () => import("./run.ts"));
}
