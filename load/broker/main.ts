// The broker as a program of its own, for whoever spawns it: the same flags as `holdfast broker`.
import { enableCompileCache } from "node:module";
import { Command } from "commander";
import { registerBrokerCommand } from "./command.ts";

enableCompileCache();
const program = new Command("holdfast");
registerBrokerCommand(program);
try {
  await program.parseAsync(["node", "holdfast", "broker", ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
