/** `holdfast dev`: a world on one machine, from load/. */
import type { Command } from "commander";

export async function addDevCommand(program: Command): Promise<void> {
  const { registerDevCommand } = await import("#load/dev.ts");
  registerDevCommand(program);
}
