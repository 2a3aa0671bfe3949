// What the tests of `holdfast runs` and `holdfast reconcile` work on: workers whose skills do what files and payloads say, and the commands.
import { strict as assert } from "node:assert";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type CommandResult, runCommand } from "./holdfast-command.ts";
import { type RunningWorker, runtimeModule, startWorkerBench, type WorkerBench } from "./worker-bench.ts";

const { REDIS_URL: _redis, ...env } = process.env;

/**
 * `chained` (Tried): a chain whose second step waits for the file `paid-<eventId>`. `failing` (Failed): one step, then a failure, for
 * good where the payload says so. `banking` (Banked): calls a dependency that fails. `booking` (Booked): critical, its second step
 * waits for `confirmed-<eventId>`; then it is refused where the payload says so, and undone, once `unhang-<eventId>` is there where
 * `hang-<eventId>` is. `charging` (Charged): an `atMostOnce` step whose outcome is unknown until the file `bank-answers` is there.
 */
function skills(folder: string): string {
  return `import { existsSync, appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { defineDependency, definePlugin, defineSkill, PermanentError, TransientError } from "${runtimeModule}";
const folder = ${JSON.stringify(folder)};
const mark = (name, text) => appendFileSync(join(folder, name), text + "\\n");
const until = async (name) => {
  while (!existsSync(join(folder, name))) await pause(10);
};
const slow = { attemptsMax: 2, immediateMax: 0, baseDelayMs: 60_000, delayMaxMs: 60_000, jitter: "none" };
const chained = defineSkill({
  name: "chained",
  handles: [{ eventType: "Tried", versions: "1.x" }],
  timeoutMs: 60_000,
  steps: (begin) =>
    begin
      .step("reserve", { kind: "idempotent" }, (step) => {
        mark("reserved", step.event.eventId);
        return { seat: 12, password: "hush", order: step.event.payload.order };
      })
      .step("pay", { kind: "idempotent" }, async (step) => {
        mark("paying", step.event.eventId);
        await until("paid-" + step.event.eventId);
        if (step.event.payload.refused) throw new PermanentError("refused", { code: "REFUSED" });
        return { paid: true };
      })
      .step("ship", { kind: "idempotent" }, (step, results) => mark("shipped", step.event.eventId + " " + results.reserve.seat + " " + step.event.payload.order)),
});
const failing = defineSkill({
  name: "failing",
  handles: [{ eventType: "Failed", versions: "1.x" }],
  retry: slow,
  async run(context) {
    await context.step("begin", { kind: "idempotent" }, () => "begun");
    if (existsSync(join(folder, "mended"))) return mark("mended-runs", context.event.eventId);
    if (context.event.payload.forGood) throw new PermanentError("refused", { code: "REFUSED" });
    throw new TransientError("the bank is closed", { code: "BANK_CLOSED" });
  },
});
const bank = defineDependency({
  name: "bank",
  circuit: { mode: "consecutive", failureThreshold: 1, resetTimeoutMs: 600_000, resetTimeoutMaxMs: 600_000 },
  request: async () => {
    throw new TransientError("no answer", { code: "HTTP_503" });
  },
});
const banking = defineSkill({
  name: "banking",
  handles: [{ eventType: "Banked", versions: "1.x" }],
  uses: [bank],
  retry: slow,
  run: (context) => context.call(bank, {}),
});
const undo = (step) => async (context) => {
  const { eventId } = context.event;
  mark("undoing", eventId);
  if (existsSync(join(folder, "hang-" + eventId))) await until("unhang-" + eventId);
  mark("undone", eventId + " " + step);
};
const booking = defineSkill({
  name: "booking",
  handles: [{ eventType: "Booked", versions: "1.x" }],
  critical: true,
  timeoutMs: 60_000,
  retry: slow,
  async run(context) {
    const { eventId, payload } = context.event;
    await context.step("room", { kind: "idempotent", compensate: undo("room") }, () => mark("booked", eventId));
    await context.step("confirm", { kind: "idempotent", compensate: undo("confirm") }, async () => {
      mark("confirming", eventId);
      await until("confirmed-" + eventId);
    });
    await context.step("card", { kind: "idempotent", compensate: undo("card") }, () => mark("charged", eventId));
    if (payload.refused) throw new PermanentError("the flight is full", { code: "FULL" });
  },
});
const charging = defineSkill({
  name: "charging",
  handles: [{ eventType: "Charged", versions: "1.x" }],
  async run(context) {
    const { eventId } = context.event;
    const receipt = await context.step("charge", { kind: "atMostOnce" }, () => {
      mark("charging", eventId);
      if (existsSync(join(folder, "bank-answers"))) return { receipt: "from the bank" };
      throw new TransientError("no answer", { code: "ETIMEDOUT", definite: false });
    });
    await context.step("note", { kind: "idempotent" }, () => mark("receipts", eventId + " " + receipt?.receipt));
  },
});
export default definePlugin({ skills: [chained, failing, banking, booking, charging], dependencies: [bank] });
`;
}

export interface RunsScene {
  readonly bench: WorkerBench;
  readonly worker: RunningWorker;
  /** `holdfast` with these arguments and the worker's configuration. */
  readonly holdfast: (...args: readonly string[]) => Promise<CommandResult>;
  readonly runs: (...args: readonly string[]) => Promise<CommandResult>;
  /** What `holdfast runs` prints as JSON. */
  readonly json: (...args: readonly string[]) => Promise<unknown>;
}

export interface RunsSceneOptions {
  readonly store: unknown;
  /** How long a message is locked; 60 000 by default. */
  readonly lockDurationMs?: number;
}

export async function runsScene(t: TestContext, { store, lockDurationMs = 60_000 }: RunsSceneOptions): Promise<RunsScene> {
  const bench = await startWorkerBench(t, {
    entities: { queues: [{ name: "input", lockDurationMs, deliveryCountMax: 10 }] },
    skills: ["chained", "failing", "banking", "booking", "charging"],
    dependencies: ["bank"],
    module: skills,
  });
  const worker = await bench.startWorker({ store });
  const file = join(bench.folder, "holdfast-0.config.json");
  const holdfast: RunsScene["holdfast"] = (...args) => runCommand([...args, "-c", file], env);
  const runs: RunsScene["runs"] = (...args) => holdfast("runs", ...args);
  return {
    bench,
    worker,
    holdfast,
    runs,
    async json(...args) {
      const { code, stdout, stderr } = await runs(...args, "--json");
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as unknown;
    },
  };
}

/** Lines of a file that skills write to. */
export function marks(bench: WorkerBench, name: string): readonly string[] {
  const file = join(bench.folder, name);
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
}

/** Lets a skill go on that waits for this file. */
export function release(bench: WorkerBench, name: string): void {
  appendFileSync(join(bench.folder, name), "");
}
