/** A worker of `holdfast dev --plugin`: loaded, and begun when its parent says so, so that saved code is at work at once. */
import { enableCompileCache } from "node:module";
import { hearStopSignals } from "#runtime/cli/stop-signals.ts";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { stubsVariable } from "./stubs-variable.ts";

hearStopSignals("stay");
// A thread asks for it as well; what was compiled for the code before is taken from there.
enableCompileCache();
const [config = ""] = process.argv.slice(2);
const [{ start }, { HoldfastError, messageOf }, { endProcess }] = await Promise.all([
  import("#runtime/cli/start.ts"),
  import("#runtime/core/errors.ts"),
  import("#runtime/adapters/threads/end-process.ts"),
  // What a worker loads when it starts.
  import("#runtime/compose/worker.ts"),
  import("#runtime/admin/server.ts"),
]);
process.send?.({ type: "warm" });
const { stubs } = await new Promise<{ readonly stubs: unknown }>((resolve) => process.once("message", resolve));
// Its threads, which import the plugins, have a copy of the environment.
process.env[stubsVariable] = JSON.stringify(stubs);
try {
  await start({ config });
} catch (error) {
  process.stderr.write(`holdfast: ${error instanceof HoldfastError ? messageOf(error, 8_000) : String((error as Error).stack)}\n`);
  process.exitCode = exitCodes.failed;
}
await endProcess(Number(process.exitCode ?? 0));
