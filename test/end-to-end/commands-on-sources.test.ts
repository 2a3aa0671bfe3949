// The commands on dead letters and records where a worker reads several sources, as a user runs them.
import { strict as assert } from "node:assert";
import { eventually } from "../support/eventually.ts";
import { type CommandResult, runCommand } from "../support/holdfast-command.ts";
import { longTest } from "../support/long.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const { REDIS_URL: _redis, ...env } = process.env;

const module = (): string => `import { definePlugin, defineSkill, PermanentError } from ${JSON.stringify(runtimeModule)};
const tried = defineSkill({ name: "tried", handles: [{ eventType: "Tried", versions: "1.x" }], run() {
  throw new PermanentError("not this one", { code: "REFUSED" });
} });
export default definePlugin({ skills: [tried] });
`;

longTest("commands look at all sources, name the source of what they show, and change what is in one of them alone", async (t) => {
  const queues = [{ name: "input" }, { name: "second" }, { name: "ordered", requiresSession: true }];
  const bench = await startWorkerBench(t, { entities: { queues }, skills: ["tried"], module });
  const sources = [{ queue: "input", name: "first" }, { queue: "second" }, { queue: "ordered", sessions: { onFailure: "skip" } }];
  const { config } = await bench.startWorker({ sources });
  const holdfast = (...args: readonly string[]): Promise<CommandResult> => runCommand([...args, "-c", config], env);
  const send = (...args: readonly string[]): Promise<CommandResult> => holdfast("send", "--event-type", "Tried", ...args);
  const withoutConfig = ["--connection-string", bench.broker.connectionString, "--entity", "ordered"];
  const sent = await Promise.all([
    bench.send("both"),
    bench.send("one"),
    send("--source", "second", "--event-id", "both"),
    send("--source", "second", "--event-id", "two"),
    send("--event-id", "none"),
    send("--source", "ordered", "--event-id", "sessionless"),
    runCommand(["send", "--event-type", "Tried", ...withoutConfig, "--event-id", "sessionless"], env),
    send("--source", "ordered", "--event-id", "three", "--session", "s"),
  ]);
  const toldOf = (result: CommandResult | void | undefined): unknown => (result === undefined ? undefined : [result.code, result.stderr.trim()]);
  assert.deepEqual(toldOf(sent[4]), [2, "holdfast: --source: expected one of first, second, ordered, found none"]);
  const needed = "holdfast: --session: expected the session that the event belongs to, for 'ordered' requires sessions, found none; nothing was sent";
  assert.deepEqual(
    [toldOf(sent[5]), toldOf(sent[6])],
    [
      [2, needed],
      [2, needed],
    ],
  );
  const deadIn = (queue: string): number => bench.broker.inspectMessages(`${queue}/$DeadLetterQueue`, { top: 10 })?.messages.length ?? 0;
  await eventually("all to be dead-lettered", () => deadIn("input") === 2 && deadIn("second") === 2 && deadIn("ordered") === 1, 30_000);

  const because = ["--reason", "as a test"];
  const [groups, shown, listed, oneRun, bothRuns, ambiguous, purged, reconciled] = await Promise.all([
    holdfast("dlq", "groups", "--json"),
    holdfast("dlq", "show", "--event", "both", "--json"),
    holdfast("runs", "list", "--json"),
    holdfast("runs", "show", "two", "--json"),
    holdfast("runs", "show", "both"),
    holdfast("dlq", "replay", "--event", "both"),
    holdfast("dlq", "purge", "--event", "two", "--count", "1", ...because, "--by", "ada"),
    holdfast("reconcile", "--json"),
  ]);
  const parse = ({ stdout, stderr }: CommandResult): unknown => {
    assert.notEqual(stdout, "", stderr);
    return JSON.parse(stdout) as unknown;
  };
  const named = (list: unknown, field: string): readonly string[] =>
    (list as readonly Readonly<Record<string, unknown>>[]).map((one) => `${String(one["source"])} ${String(one[field])}`).toSorted();
  assert.deepEqual(named(parse(groups), "count"), ["first 2", "ordered 1", "second 2"]);
  assert.deepEqual(named(parse(shown), "eventId"), ["first both", "second both"]);
  const { runs } = parse(listed) as { readonly runs: unknown };
  assert.deepEqual(named(runs, "eventId"), ["first both", "first one", "ordered three", "second both", "second two"]);
  assert.equal((parse(oneRun) as { readonly source: string }).source, "second");
  assert.deepEqual(toldOf(bothRuns), [
    2,
    "holdfast: --source: expected one of first, second, for there is a run of 'both' in each of them, found none; nothing was changed",
  ]);
  assert.deepEqual(toldOf(ambiguous), [
    2,
    "holdfast: --source: expected one of first, second, for there are such dead letters in each of them, found none; nothing was changed",
  ]);
  assert.deepEqual([purged.code, purged.stdout, deadIn("second"), deadIn("input")], [0, "1 of 1 dead letter deleted\n", 1, 2], purged.stderr);
  assert.equal((parse(reconciled) as { readonly records: number }).records, 5);
  const { history } = parse(await holdfast("runs", "show", "two", "--json")) as { readonly history: readonly Readonly<Record<string, unknown>>[] };
  assert.partialDeepStrictEqual(history.at(-1), { kind: "closed", reason: "as a test", who: "ada" });
});
