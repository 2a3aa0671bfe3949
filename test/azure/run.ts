// `npm run test:azure`: holds what the design assumes of Service Bus against a real namespace, where the environment names one, else against the local broker over TLS.
import "#runtime/cli/require-node.ts";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { proveLocally } from "./local.ts";

const args = process.argv.slice(2);
const isReal = ["AZURE_SERVICE_BUS_CONNECTION_STRING", "AZURE_SERVICE_BUS_NAMESPACE"].some((name) => (process.env[name] ?? "") !== "");
if (isReal) process.exitCode = spawnSync(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], { stdio: "inherit" }).status ?? 1;
else {
  process.stderr.write("test:azure: no AZURE_SERVICE_BUS_CONNECTION_STRING or AZURE_SERVICE_BUS_NAMESPACE: this is the local broker over TLS\n");
  process.exitCode = (await proveLocally(args, "inherit")).code ?? 1;
}
