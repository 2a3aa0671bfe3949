import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function latencyCommand(): Command {
  const command = scenarioCommand({
    name: "latency",
    summary: "how long an event takes at 10, 50 and 80 % of saturation, and at a hundred a second",
    about: `Events arrive on an open-loop schedule, as from independent senders, whatever the worker does. Each counts from the moment when it was meant to be sent until its handler is done, in HDR histograms: what had to wait to be sent has waited, too. Saturation is found first, in the same run, with two thousand events under way at all times; each contender stays for all of its turns. The first second of each turn is left out.

With --profile the events of a file arrive instead; load/generator/profiles holds some.`,
  })
    .option("--seconds <n>", "length of a turn; with --quick 2; at a hundred a second at least 6", atLeast(1))
    .option("--profile <file>", "what arrives, and when, in place of these rates");
  return runs(command, () => import("./run.ts"));
}
