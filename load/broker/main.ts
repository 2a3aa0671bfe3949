// The broker as a program of its own, for whoever spawns it: the same flags as `holdfast broker`.
import { enableCompileCache } from "node:module";
import { hearStopSignals, takeOver } from "#runtime/cli/stop-signals.ts";

hearStopSignals("stop");
enableCompileCache();
const [{ Command }, { registerBrokerCommand }] = await Promise.all([import("commander"), import("./command.ts")]);
const program = new Command("holdfast");
registerBrokerCommand(program, takeOver);
try {
  await program.parseAsync(["node", "holdfast", "broker", ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
