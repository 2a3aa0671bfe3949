/**
 * How long something takes, held against a bound of the product: by a clock that stands still with the process. A machine that is busy with others lets it
 * have no processor for any time, which says nothing of the product.
 */
import { readFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Clock } from "#runtime/core/clock.ts";

const tickMs = 10;

/** The real one, also where a test has put another in its place by then. */
const every = setInterval;

/** Of a span between two looks count two ticks at most, and what the process worked in it: a loop that it blocks itself counts in full. */
class AwakeTime {
  #countedMs = 0;
  #lastMs = performance.now();
  #worked = process.cpuUsage();

  count(): number {
    const nowMs = performance.now();
    const worked = process.cpuUsage();
    const workedMs = (worked.user - this.#worked.user + worked.system - this.#worked.system) / 1_000;
    this.#countedMs += Math.min(nowMs - this.#lastMs, 2 * tickMs + workedMs);
    this.#lastMs = nowMs;
    this.#worked = worked;
    return this.#countedMs;
  }
}

/** Starts such a clock of this process; what it returns reads it, in milliseconds. */
export function startAwakeTime(t: TestContext): () => number {
  const time = new AwakeTime();
  const timer = every(() => time.count(), tickMs);
  t.after(() => clearInterval(timer));
  return () => time.count();
}

/** The system's clock, save that it stands still with this process: who waits by it blames nobody for what could not be read meanwhile. */
export function newAwakeClock(): Clock {
  const time = new AwakeTime();
  every(() => time.count(), tickMs).unref();
  return {
    ...systemClock,
    monotonicMs: () => time.count(),
    after(delayMs, action) {
      const dueMs = time.count() + delayMs;
      const look = (): void => {
        const leftMs = dueMs - time.count();
        if (leftMs > 0) timer = setTimeout(look, Math.ceil(leftMs));
        else action();
      };
      let timer = setTimeout(look, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
  };
}

/** As an option of Node for a process of its own: that process writes such a clock to `file`. */
export function awakeTimeOption(file: string): string {
  const source = `import { isMainThread } from "node:worker_threads";
import { appendFileSync } from "node:fs";
${AwakeTime.toString()}
const tickMs = ${tickMs};
if (isMainThread) {
  const time = new AwakeTime();
  setInterval(() => appendFileSync(${JSON.stringify(file)}, Date.now() + " " + time.count() + "\\n"), tickMs).unref();
}`;
  return `--import=data:text/javascript;base64,${Buffer.from(source).toString("base64")}`;
}

/** How much of the time between two moments, by the clock of the machine, counts for the process that writes `file`. */
export function awakeMsBetween(file: string, fromMs: number, toMs: number): number {
  const looks = readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(" ").map(Number) as [wallMs: number, countedMs: number]);
  // The last one before, or at, each moment; what is left of a tick counts, too.
  const at = (ms: number): number => {
    const [wallMs = ms, countedMs = 0] = looks.findLast(([wallMs]) => wallMs <= ms) ?? [];
    return countedMs + Math.min(ms - wallMs, tickMs);
  };
  return at(toMs) - at(fromMs);
}
