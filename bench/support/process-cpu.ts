import { readFileSync } from "node:fs";

/** Clock ticks a second in /proc; 100 on every Linux there is today. */
const ticksPerSecond = 100;

/** CPU time a process has used so far, all its threads together, in milliseconds; undefined where there is no /proc. */
export function processCpuMs(pid: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1_000;
  } catch {
    return undefined;
  }
}

/** The same of a process and those that it has started and that are still there; undefined where there is no /proc. */
export function treeCpuMs(pid: number): number | undefined {
  const own = processCpuMs(pid);
  if (own === undefined) return undefined;
  let children = "";
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  } catch {
    // Not every kernel tells.
  }
  return children
    .split(" ")
    .filter((child) => child !== "")
    .reduce((sum, child) => sum + (treeCpuMs(Number(child)) ?? 0), own);
}

/** CPU time that the main thread of a process has used so far, in milliseconds; undefined where there is no /proc. */
export function mainThreadCpuMs(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
  } catch {
    return undefined;
  }
}

/** How long the processors of the machine were not free so far, in milliseconds, also by what the host took; undefined where there is no /proc. */
export function machineBusyMs(): number | undefined {
  try {
    const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, stolen = 0] = readFileSync("/proc/stat", "utf8")
      .split("\n", 1)[0]!
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return ((user + nice + system + irq + softIrq + stolen) / ticksPerSecond) * 1_000;
  } catch {
    return undefined;
  }
}
