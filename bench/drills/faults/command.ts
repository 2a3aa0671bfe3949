import { Command } from "commander";
import { atLeast, helpWidth, namesOf, runs } from "../../support/command.ts";
import { faults } from "./faults.ts";

export function faultsCommand(): Command {
  const names = faults.map(({ name }) => name);
  const list = faults.map(({ name, what }) => `  ${name.padEnd(28)}${what}`).join("\n");
  const command = new Command("faults")
    .summary("what workers depend on fails, and they themselves, while events stream in")
    .description(
      `Worker processes share a Redis and the local broker while events of every kind stream in: keyed, queryable and atMostOnce steps, sagas, duplicates. Then one thing fails for some seconds. When the queue is empty, what is left is judged from outside, by the broker, the ledger of the dependency and the run records: every event ended completed or dead-lettered and not both, each step was called for under one key, queryable and atMostOnce effects began once, nothing was called for after its checkpoint or under a claim that had been taken over, compensations are the reverse of what was committed. After the loss of records an atMostOnce event may be parked. It is measured how soon four fifths of the earlier rate are back, and how soon what was there has ended. A run in which the fault struck nobody, or few events completed, proves nothing and fails.`,
    )
    .configureHelp({ helpWidth })
    .option("--only <names>", "some of the faults below", namesOf(names), names)
    .option("--quick", "a few of them, in about a minute")
    .option("--workers <n>", "worker processes", atLeast(2), 3)
    .option("--rate <n>", "events a second", atLeast(10), 60)
    .option("--seed <n>", "of the events", atLeast(0), 1)
    .option("--json", "print the figures as JSON")
    .addHelpText("after", `\nFaults:\n${list}`);
  return runs(command, () => import("./run.ts"));
}
