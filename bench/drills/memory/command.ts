import { Command } from "commander";
import { atLeast, helpWidth, runs } from "../../support/command.ts";

export function memoryCommand(): Command {
  const command = new Command("memory")
    .summary("large bodies in a small container")
    .description(
      `A worker in a memory cgroup of 512 MB, and of 256 MB, gets messages of 200 KB, of 1 MB, and of both among small ones. It starts within the group, and as the image does, so that its heaps fit the group. It must never be killed, and every message must complete at its first delivery. Where no memory cgroup can be made, the worker gets its limit by configuration, and its resident memory is held against it.`,
    )
    .configureHelp({ helpWidth })
    .option("--messages <n>", "messages of 200 KB; a third as many of 1 MB", atLeast(30), 3_000)
    .option("--json", "print the figures as JSON");
  return runs(command, () => import("./run.ts"));
}
