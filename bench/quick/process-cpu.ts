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
