// The whole world, as `npm start` runs it, small.
import { strict as assert } from "node:assert";
import { type CommandResult, runCommand } from "../support/holdfast-command.ts";
import { testOnEach } from "../support/transports.ts";

const { REDIS_URL: redisUrl, ...withoutRedis } = process.env;

function assertSound(result: CommandResult, what: string): Record<string, number> {
  const summary = result.lastLine as Record<string, number> | undefined;
  assert.equal(result.code, 0, `${what}: expected exit 0, got ${result.code}: ${result.stderr.slice(-2_000)} ${JSON.stringify(summary)}`);
  assert.ok(summary);
  const { accepted = 0, completed = 0, deadLettered = 0 } = summary;
  assert.equal(accepted, completed + deadLettered);
  assert.deepEqual([summary["lost"], summary["unexpected"], summary["queued"], summary["effectsOnce"], summary["repeatedCalls"]], [0, 0, 0, true, 0]);
  return summary;
}

testOnEach("every message ends, duplicates are absorbed and poison is dead-lettered, on SQLite", async (_t, transport) => {
  const summary = assertSound(await runCommand(["dev", "--transport", transport, "--events", "800", "--duplicates", "0.1", "--poison", "0.05"], withoutRedis), "sqlite");
  assert.ok((summary["duplicates"] ?? 0) > 20);
  assert.ok((summary["deadLettered"] ?? 0) > 10);
});

testOnEach("the same on Redis", async (_t, transport) => {
  assert.ok(redisUrl, "expected REDIS_URL; run the tests with npm test");
  assertSound(await runCommand(["dev", "--transport", transport, "--events", "800", "--duplicates", "0.1", "--poison", "0.05"]), "redis");
});

testOnEach("a killed worker's runs go on from their checkpoints", async (_t, transport) => {
  const summary = assertSound(await runCommand(["dev", "--transport", transport, "--events", "1500", "--duplicates", "0.1", "--poison", "0.05", "--kill-worker-after", "0.5"], withoutRedis), "kill");
  assert.ok((summary["resumed"] ?? 0) >= 1, "expected at least one run to resume");
});
