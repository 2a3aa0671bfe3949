import type { Command } from "commander";
import { runs, scenarioCommand } from "../support/command.ts";

export function isolationCommand(): Command {
  const command = scenarioCommand({
    name: "isolation",
    summary: "the sound dependency's latency while another hangs, is slow, or fails",
    about: `Events for two HTTP dependencies arrive side by side on one queue. One of them then hangs, answers half a second late, and fails, one after the other, with calm in between. What is measured is the 99th percentile of the events for the sound one, from when they were meant to be sent: beside trouble, and in the calm before it.`,
  });
  return runs(command, () => import("./run.ts"));
}
