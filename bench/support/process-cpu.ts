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
