import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function observabilityCommand(): Command {
  const command = scenarioCommand({
    name: "observability",
    summary: "what metrics, traces at 1 % and logs at info add to the CPU of a message",
    about: `The worker drains queues with everything off (the log at error), with metrics that are scraped every second, with traces that are exported to a collector at the ratio of 1 %, with the log at info, and with all of it, in turns of one run: a ratio is always that of two turns of one round. A skill that does nothing, so that what is added is the largest part that it can be, and one with four steps. Messages carry W3C trace ids and nobody's traceparent, as from producers that are not traced.`,
  }).option("--rounds <n>", "rounds; with --quick 3", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
