import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function overheadCommand(): Command {
  const command = scenarioCommand({
    name: "overhead",
    summary: "what a message costs the whole machine: the worker by stage, from CPU profiles, the store and the broker",
    about: `The worker drains a queue twice with each kind of work: once as it is, for what client, Redis and broker spend on a message, and once with V8's CPU profiler on, main thread and skill threads alike, for which part of the code spends it. Only samples of the part that is counted are taken; where a profile is taller than the turn without it, its shares are what counts.`,
  }).option("--rounds <n>", "rounds; with --quick 1", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
