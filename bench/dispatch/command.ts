import type { Command } from "commander";
import { atLeast, benchCommand, runs } from "../support/command.ts";

export function dispatchCommand(): Command {
  const command = benchCommand({
    name: "dispatch",
    summary: "what it costs to hand runs to threads, and what CPU-bound work loses by it",
    about: `Skills that do nothing: the main thread's CPU time of a run from post to answer, with 1000 runs in flight on two threads; the first round is dropped.

A skill of about 100 µs of CPU on two threads, beside the same work done by the same threads in one run each: the efficiency is what dispatching leaves, by time and by CPU. The two take turns many times over, because the machine is not ours alone.`,
  })
    .option("--rounds <n>", "rounds of the skills that do nothing", atLeast(1), 7)
    .option("--runs <n>", "runs a round of these", atLeast(1_000), 40_000)
    .option("--pairs <n>", "turns of CPU-bound work, with and without dispatch", atLeast(1), 31);
  return runs(command, () => import("./run.ts"));
}
