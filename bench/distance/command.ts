import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function distanceCommand(): Command {
  const command = scenarioCommand({
    name: "distance",
    summary: "throughput with broker and store 0, 1, 5 and 20 ms away each way, beside the peers at the same distance",
    about: `Broker and Redis are put behind the fault proxy, which makes everything so much later in each direction. The worker drains a queue of no-ops and of runs with four steps, and the SDK's subscribe with 200 calls and the loop around receiveMessages drain no-ops. There is one of each at every distance; they stay, and have messages in turn, so that what is compared is the rate that they come to. How soon it is found is measured by the bench intake.`,
  }).option("--rounds <n>", "rounds; with --quick 1", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
