/** A worker of `holdfast dev --plugin`: loaded, and begun when its parent says so, so that saved code is at work at once. */
import { enableCompileCache } from "node:module";
import { extname } from "node:path";
import { hearStopSignals } from "#runtime/cli/stop-signals.ts";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { hearUncaught, writeFailure } from "#runtime/cli/last-words.ts";
import { speakInLog } from "#runtime/cli/log-line.ts";
import type { DevPlan } from "./dev-config.ts";

hearStopSignals("stay");
speakInLog();
hearUncaught();
// A thread asks for it as well; what was compiled for the code before is taken from there.
enableCompileCache();
const [config = "", packages = "[]"] = process.argv.slice(2);
const [{ start }, { HoldfastError, messageOf }, { endProcess }, { awaitPlugins }, { writeDevConfig }] = await Promise.all([
  import("#runtime/cli/start.ts"),
  import("#runtime/core/errors.ts"),
  import("#runtime/adapters/threads/end-process.ts"),
  import("#runtime/skills/host/probe.ts"),
  import("./dev-config.ts"),
  // What a worker loads when it starts.
  import("#runtime/compose/worker.ts"),
  import("#runtime/cli/admin-server.ts"),
  import("#runtime/adapters/telemetry/metrics/metrics.ts"),
]);
// What plugins and their stubs import.
const own = ["./ready-for-types", ...["index", "testing/index", "testing/live-stub", "testing/stubs-file"].map((name) => `../../runtime/${name}`)];
const imported = [
  ...own.map((name) => new URL(`${name}${extname(import.meta.filename)}`, import.meta.url).href),
  ...(JSON.parse(packages) as readonly string[]),
];
awaitPlugins(imported);
await Promise.allSettled(imported.map((url) => import(url) as Promise<unknown>));
process.send?.({ type: "warm" });
const plan = await new Promise<DevPlan>((resolve) => process.once("message", resolve));
try {
  process.send?.({ type: "reads", folders: await writeDevConfig(config, plan) });
  await start({ config }, { isHasty: true });
} catch (error) {
  process.exitCode = exitCodes.failed;
  writeFailure(error, { message: messageOf(error, 8_000), exitCode: exitCodes.failed, isDefect: !(error instanceof HoldfastError) });
}
await endProcess(Number(process.exitCode ?? 0));
