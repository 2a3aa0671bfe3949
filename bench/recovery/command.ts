import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function recoveryCommand(): Command {
  const command = scenarioCommand({
    name: "recovery",
    summary: "from a lost worker, and from a lost zone, until the work goes on and all that was there has ended",
    about: `Two workers share a queue whose events call a dependency once, on an open-loop schedule, with locks of five seconds. Once, one of them is killed with SIGKILL. Once, one of them and the primary of the store are killed at the same moment, as when a zone is lost: the replica takes over behind the same address. What is measured, against the platform's targets: the time until the next event is done, until the rate is what it was, and until every event that was there has ended.`,
  }).option("--rounds <n>", "rounds; with --quick 1", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
