import { collectedMemory, collectGarbage } from "./memory.ts";
import { type Answer, type Call, ready, type Served, type ServedByAll } from "./peer.ts";

/** Answers the calls of the parent until it ends the connection or is gone; then `end` is called. */
export function serve(calls: Served, end: () => unknown = () => undefined): void {
  const all: ServedByAll = { cpuMicros, collectGarbage, memory: collectedMemory };
  const served: Served = { ...calls, ...(all as unknown as Served) };
  process.on("message", (call: Call) => void answer(served, call).then((message) => process.send?.(message)));
  process.once("disconnect", () => {
    // Some clients leave timers behind; whoever disconnects has all it wanted.
    void Promise.resolve(end()).finally(() => process.exit());
  });
  process.send?.(ready);
}

async function answer(served: Served, { id, name, parameters }: Call): Promise<Answer> {
  try {
    return { id, result: await served[name]!(...(parameters as never[])) };
  } catch (error) {
    return { id, failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

export function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
