import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as moment } from "node:timers/promises";
import { awakeMsBetween, awakeTimeOption, newAwakeClock, startAwakeTime } from "./support/awake-time.ts";
import { eventually } from "./support/eventually.ts";

test("time in which this process waits or works counts", async (t) => {
  const awakeMs = startAwakeTime(t);
  const fromMs = awakeMs();
  await eventually("a wait to count", () => awakeMs() - fromMs > 30);
  const blockedFromMs = awakeMs();
  const worked = process.cpuUsage();
  while (process.cpuUsage(worked).user < 30_000);
  assert.ok(awakeMs() - blockedFromMs >= 30);
});

test("a timer of a clock that stands still with this process goes off when its time is over", async () => {
  const clock = newAwakeClock();
  const fromMs = clock.monotonicMs();
  await new Promise<void>((over) => clock.after(30, over));
  assert.ok(clock.monotonicMs() - fromMs >= 30);
  clock.after(0, () => assert.fail("expected a timer that was cancelled to stay silent")).cancel();
  await moment(10);
});

test("time in which a process stands still does not count", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-awake-"));
  const file = join(folder, "awake");
  const child = spawn(process.execPath, [awakeTimeOption(file), "-e", "setInterval(() => undefined, 1_000)"], { stdio: "inherit" });
  t.after(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  const isWrittenAt = (ms: number) => (): boolean =>
    existsSync(file) &&
    readFileSync(file, "utf8")
      .split("\n")
      .some((line) => Number.parseInt(line, 10) >= ms);
  await eventually("it to begin", isWrittenAt(0));
  child.kill("SIGSTOP");
  const stoppedAtMs = Date.now();
  // Time is what is looked at; nothing is waited for.
  await moment(200);
  const goesOnAtMs = Date.now();
  child.kill("SIGCONT");
  await eventually("it to go on", isWrittenAt(goesOnAtMs));
  const countedMs = awakeMsBetween(file, stoppedAtMs, goesOnAtMs);
  assert.ok(countedMs < 100, `${countedMs} ms of ${goesOnAtMs - stoppedAtMs}`);
});
