import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const command = fileURLToPath(import.meta.resolve("#runtime/cli/main.ts"));

/** From spawning `holdfast broker` to its first line, in milliseconds. */
export function brokerStartMs(): Promise<number> {
  return firstLineMs([command, "broker", "--port", "0"]);
}

/** The same of a program that does nothing: what of it is Node's own start on this machine, at this time. */
export function bareStartMs(): Promise<number> {
  return firstLineMs(["--eval", "console.log('started')"]);
}

async function firstLineMs(parameters: readonly string[]): Promise<number> {
  const startMs = performance.now();
  const child = spawn(process.execPath, parameters, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended])) as [unknown];
  const tookMs = performance.now() - startMs;
  if (typeof line !== "string") throw new Error(`expected a line from node ${parameters.join(" ")}, it ended with ${String(line)}`);
  child.kill("SIGTERM");
  await ended;
  return tookMs;
}
