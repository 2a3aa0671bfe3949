/** What a drill or a bench has started ends with it, also where a signal or an error ends it. */
import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";

/** What a shell has for a process that a signal ended: 128 and its number. */
const codes: Readonly<Record<string, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/**
 * From now on. Workers stop by themselves once their parent is gone, but a Redis does not, nor does a worker that is frozen at that moment. They
 * are killed: whoever interrupts a drill does not wait for a drain.
 */
export function endTogether(): void {
  const alive = new Set<ChildProcess>();
  subscribe("child_process", (message) => {
    const { process: child } = message as { readonly process: ChildProcess };
    alive.add(child);
    child.once("exit", () => alive.delete(child));
  });
  process.once("exit", () => {
    // A PostgreSQL that is killed leaves a segment of shared memory to the system; this is its quickest end.
    for (const child of alive) child.kill(/\bpostgres$/.test(child.spawnfile) ? "SIGQUIT" : "SIGKILL");
  });
  for (const [signal, code] of Object.entries(codes)) {
    process.once(signal, () => {
      process.stderr.write(`${signal}: it ends, with the ${alive.size} processes that it has started\n`);
      process.exit(code);
    });
  }
}
