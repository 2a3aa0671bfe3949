// A critical run whose worker is killed in the middle of each compensation.
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Redis } from "ioredis";
import { storesTried } from "../support/long.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

/** Each compensation hangs at its first try: its process is killed for it. */
const module = (folder: string): string => `import { appendFileSync, readFileSync } from "node:fs";
import { definePlugin, defineSkill, PermanentError } from ${JSON.stringify(runtimeModule)};
const ledger = ${JSON.stringify(join(folder, "ledger"))};
const tell = (line) => appendFileSync(ledger, line + "\\n");
const undo = (step) => (context) => {
  const line = "undo " + step + " " + context.idempotencyKey;
  const isFirst = !readFileSync(ledger, "utf8").includes(line);
  tell(line);
  return isFirst ? new Promise(() => undefined) : undefined;
};
const trip = defineSkill({
  name: "trip",
  handles: [{ eventType: "Tried" }],
  critical: true,
  async run(context) {
    for (const step of ["room", "car", "card"]) {
      await context.step(step, { kind: step === "card" ? "atMostOnce" : "keyed", compensate: undo(step) }, () => tell(step));
    }
    throw new PermanentError("the flight is full", { code: "FULL" });
  },
});
export default definePlugin({ skills: [trip] });
`;

function ledgerOf(folder: string): string[] {
  const file = join(folder, "ledger");
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
}

for (const kind of storesTried) {
  test(`workers killed in each compensation leave a run that is undone in reverse, each step under one key, with records in ${kind}`, async (t) => {
    const bench = await startWorkerBench(t, { entities: { queues: [{ name: "input", lockDurationMs: 3_000 }] }, skills: ["trip"], module });
    let store: unknown = { kind: "sqlite", path: "runs.sqlite" };
    if (kind === "redis") {
      const server = await startRedis();
      const redis = new Redis(server.url);
      t.after(async () => {
        redis.disconnect();
        await server.stop();
      });
      store = { kind: "redis", url: server.url };
    }
    await bench.send("a");
    for (let kills = 1; kills <= 3; kills += 1) {
      const worker = await bench.startWorker({ store });
      const tried = (): number => new Set(ledgerOf(bench.folder).filter((line) => line.startsWith("undo"))).size;
      await eventually(`compensation ${kills} to begin`, () => tried() === kills, 30_000);
      worker.process.kill("SIGKILL");
      await worker.done;
    }
    await bench.startWorker({ store });
    const deadLettered = (): number => bench.broker.inspect().queues["input"]?.totals.deadLettered ?? 0;
    await eventually("the message to be dead-lettered", () => deadLettered() === 1, 30_000);
    const lines = ledgerOf(bench.folder);
    assert.deepEqual(
      lines.map((line) => line.split(" ").slice(0, 2).join(" ")),
      ["room", "car", "card", "undo card", "undo card", "undo car", "undo car", "undo room", "undo room"],
    );
    assert.equal(new Set(lines.slice(3)).size, 3, "expected one key for both tries of a compensation");
    const dead = bench.broker.inspectMessages("input/$DeadLetterQueue")?.messages[0];
    assert.equal(dead?.deadLetterReason, "FULL");
    assert.match(dead.deadLetterDescription ?? "", /the flight is full.*compensated: 'card', 'car', 'room'/);
  });
}
