// The broker as a program of its own, for whoever spawns it: the same flags as `holdfast broker`.
import "#runtime/cli/require-node.ts";
import { hearStopSignals, takeOver } from "#runtime/cli/stop-signals.ts";

hearStopSignals("stop");
const { enableCompileCache } = await import("node:module");
enableCompileCache();
const [{ Command }, { registerBrokerCommand }, { carryOut }] = await Promise.all([
  import("commander"),
  import("./command.ts"),
  import("#runtime/cli/carry-out.ts"),
]);
const program = new Command("holdfast");
registerBrokerCommand(program, takeOver);
await carryOut(program, undefined, ["broker", ...process.argv.slice(2)]);
