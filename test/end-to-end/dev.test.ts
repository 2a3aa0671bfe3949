// The whole world, as `npm start` runs it, small.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import { type CommandResult, type RunningCommand, startedByGroup, runCommand, startByNpm } from "../support/holdfast-command.ts";
import { drillOnEach } from "../support/transports.ts";

const { REDIS_URL: redisUrl, ...withoutRedis } = process.env;

/** Waits until the first messages have been completed. */
async function working({ process: child }: RunningCommand): Promise<void> {
  let said = "";
  child.stdout?.on("data", (text: string) => (said += text));
  await eventually("messages to be completed", () => /"completed":[1-9]/.test(said), 60_000);
}

function assertSound(result: CommandResult, what: string): Record<string, number> {
  const summary = result.lastLine as Record<string, number> | undefined;
  assert.equal(result.code, 0, `${what}: expected exit 0, got ${result.code}: ${result.stderr.slice(-2_000)} ${JSON.stringify(summary)}`);
  assert.ok(summary);
  const { accepted = 0, completed = 0, deadLettered = 0, queued = 0 } = summary;
  assert.equal(accepted, completed + deadLettered + queued);
  assert.deepEqual([summary["lost"], summary["unexpected"], summary["effectsOnce"], summary["repeatedCalls"]], [0, 0, true, 0]);
  return summary;
}

test("npm start that is stopped by Ctrl-C ends with 0 and the account, which agrees with its lines; what is piped is plain", async () => {
  for (const args of [
    ["--no-warm-up", "--rate", "50"],
    ["--no-warm-up", "--events", "20000", "--duplicates", "0.1", "--poison", "0.05"],
  ]) {
    const command = startByNpm(args, withoutRedis);
    await working(command);
    command.pressCtrlC();
    const result = await command.done;
    const summary = assertSound(result, args.join(" "));
    const lines = result.stdout
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, number>);
    for (const { events = 0, sent = 0, completed = 0 } of lines.slice(0, -1)) {
      assert.ok(events <= sent && events <= (summary["events"] ?? 0) && completed <= (summary["completed"] ?? 0));
    }
    assert.ok((summary["events"] ?? 0) > 0 && (summary["events"] ?? 0) <= 20_000);
    assert.match(result.stdout, /"page":"http:\/\/127\.0\.0\.1:\d+"/);
    assert.ok(!(result.stdout + result.stderr).includes("\u001b"), "expected no escape sequences");
  }
});

test("a second Ctrl-C ends npm start at once with 130, and no process of it complains", async () => {
  const command = startByNpm(["--no-warm-up", "--events", "20000"], withoutRedis);
  await working(command);
  // A worker that does not answer: nothing can have stopped in order before the second one.
  const worker = startedByGroup(command.process.pid ?? 0, /main\.ts start --config/);
  process.kill(worker, "SIGSTOP");
  const exited = once(command.process, "exit");
  command.pressCtrlC();
  // npm's copy of a signal is told from a second one by the time between them.
  await pause(700);
  command.pressCtrlC();
  await exited;
  process.kill(worker, "SIGCONT");
  const { code, stderr } = await command.done;
  assert.equal(code, 130, stderr);
  assert.doesNotMatch(stderr, /ERR_|Error/);
});

drillOnEach("every message ends, duplicates are absorbed and poison is dead-lettered, on SQLite", async (_t, transport) => {
  const summary = assertSound(
    // Its warm-up, which is no part of the account, has as many events.
    await runCommand(["dev", "--transport", transport, "--events", "800", "--duplicates", "0.1", "--poison", "0.05"], withoutRedis),
    "sqlite",
  );
  assert.deepEqual([summary["events"], summary["queued"]], [800, 0]);
  assert.ok((summary["duplicates"] ?? 0) > 20);
  assert.ok((summary["deadLettered"] ?? 0) > 10);
});

drillOnEach("the same on Redis", async (_t, transport) => {
  assert.ok(redisUrl, "expected REDIS_URL; run the tests with npm test");
  assertSound(await runCommand(["dev", "--no-warm-up", "--transport", transport, "--events", "800", "--duplicates", "0.1", "--poison", "0.05"]), "redis");
});

drillOnEach("a killed worker's runs go on from their checkpoints", async (_t, transport) => {
  // It may be killed in a moment in which no run is between two steps.
  let resumed = 0;
  for (const killedAfter of ["0.3", "0.2", "0.4"]) {
    const args = [
      "dev",
      "--no-warm-up",
      "--transport",
      transport,
      "--events",
      "3000",
      "--duplicates",
      "0.1",
      "--poison",
      "0.05",
      "--kill-worker-after",
      killedAfter,
    ];
    resumed += assertSound(await runCommand(args, withoutRedis), `kill after ${killedAfter}`)["resumed"] ?? 0;
    if (resumed > 0) break;
  }
  assert.ok(resumed > 0, "expected at least one run to resume");
});
