import type { Command } from "commander";
import { namesOf, runs, scenarioCommand } from "../support/command.ts";
import { planNames } from "./plans.ts";

export function faultsCommand(): Command {
  const command = scenarioCommand({
    name: "faults",
    summary: "throughput and latency before, during and after faults; recovery; what is lost or done twice",
    about: `Events that each call a dependency once arrive on an open-loop schedule while a plan of load/faults/plans is carried out: the network to the store or the broker, the broker, the worker's process or the dependency is in trouble for a while. Broker and store are behind the fault proxy. The worker and the SDK's subscribe with 200 calls take turns.

An event is lost when it was never worked on though nothing is left of it to come; it is done twice when the dependency's ledger has its effect more than once.`,
  })
    .option("--plans <names>", `some of ${planNames().join(", ")}`, namesOf(planNames()))
    .option("--plan <file>", "a plan of your own");
  return runs(command, () => import("./run.ts"));
}
