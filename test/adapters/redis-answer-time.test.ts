import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Command, Redis } from "ioredis";
import { countAnswerTime } from "#runtime/adapters/redis/answer-time.ts";
import { within } from "../support/eventually.ts";

const commandTimeoutMs = 20;

/** Sends nothing; it starts a command's time as ioredis does. */
class Silent extends Redis {
  override sendCommand(command: Command): unknown {
    command.setTimeout(commandTimeoutMs);
    return command.promise;
  }
}

function send(command: Command): void {
  countAnswerTime(new Silent({ lazyConnect: true })).sendCommand(command);
}

test("time in which this process stands still does not count against Redis, however long that is", async () => {
  const command = new Command("ping");
  send(command);
  for (const fromMs = performance.now(); performance.now() - fromMs < 3 * commandTimeoutMs;);
  // Here a timer of ioredis's own would have failed it, and then its answer would have been read.
  await nextTurn();
  assert.equal(command.isSettled, false);
  command.resolve(Buffer.from("PONG"));
  assert.equal(String(await command.promise), "PONG");
});

test("a command without an answer fails when its time is over, and only then, also where it was sent a second time", async () => {
  const command = new Command("ping");
  const fromMs = performance.now();
  send(command);
  send(command);
  await assert.rejects(within("an end", command.promise), /^Error: Command timed out$/);
  assert.ok(performance.now() - fromMs >= commandTimeoutMs - 1);
});
