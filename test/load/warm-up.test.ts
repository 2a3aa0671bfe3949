// A world has worked before a trial, and no figure of the trial has any of it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { BrokerAccount } from "#load/dev/broker-account.ts";
import { Rise } from "#load/dev/rise.ts";
import { warmUp, type WarmUpParts } from "#load/dev/warm-up.ts";
import { type WorkerReport, WorkerReports } from "#load/dev/worker-reports.ts";
import { generate } from "#load/generator/generate.ts";
import { latencyHistogram } from "#runtime/adapters/telemetry/statistics.ts";

const nothing: BrokerAccount = { accepted: 0, copies: 0, completed: 0, deadLettered: 0, ready: 0, queued: 0, dueLater: 0, expiredLocks: 0 };

interface Scene {
  readonly parts: WarmUpParts;
  readonly sent: (string | undefined)[];
  /** What left out what it had counted, with how many messages had ended for the worker then. */
  readonly begun: (readonly [string, number])[];
}

/** A broker that ends what it gets by the next look, up to `endsMax`; its worker reports that three looks later. */
function scene(endsMax: number = Number.POSITIVE_INFINITY): Scene {
  const sent: (string | undefined)[] = [];
  const looks = [0, 0, 0, 0];
  const begun: (readonly [string, number])[] = [];
  const reported = (): number => looks.at(-4) ?? 0;
  const begin = (what: string) => (): void => void begun.push([what, reported()]);
  const counts = { completed: 0, duplicate: 0, "dead-lettered": 0, retried: 7, postponed: 0, released: 0, dropped: 0 };
  return {
    sent,
    begun,
    parts: {
      queue: "input",
      publisher: {
        send: async (_entity: string, messages: readonly { messageId?: string }[]) => void sent.push(...messages.map(({ messageId }) => messageId)),
      } as unknown as WarmUpParts["publisher"],
      broker: {
        account: async () => {
          looks.push(Math.min(endsMax, sent.length));
          return { ...nothing, completed: looks.at(-1)! };
        },
        begin: async () => begin("broker")(),
      },
      worker: { reports: { totals: () => ({ outcomes: { ...counts, completed: reported() }, skills: {}, events: {} }) }, begin: begin("worker") },
      standIns: { forget: async () => begin("stand-ins")() },
    },
  };
}

test("a warm-up has ended for broker and worker before figures begin, has no more events than the trial, and none of its", async () => {
  const { parts, sent, begun } = scene();
  const options = { seed: 1, duplicates: 0.05, eventsMax: 700 };
  const messages = await warmUp(parts, { ...options, signal: new AbortController().signal });
  const ofTrial = new Set(Array.from(generate({ ...options, events: 700, poison: 0 }), ({ message }) => message.messageId));
  assert.equal(messages, ofTrial.size);
  assert.equal(sent.length, messages);
  assert.ok(!sent.some((id) => ofTrial.has(id ?? "")));
  assert.deepEqual(begun, [
    ["worker", messages],
    ["broker", messages],
    ["stand-ins", messages],
  ]);
});

test("a warm-up that is interrupted does not wait for the rest", async () => {
  const { parts, sent } = scene(10);
  const interrupted = new AbortController();
  const { account } = parts.broker;
  const broker = { ...parts.broker, account: async () => (sent.length > 0 && interrupted.abort(), account()) };
  await warmUp({ ...parts, broker }, { seed: 1, duplicates: 0, eventsMax: 100_000, signal: interrupted.signal });
  assert.ok(sent.length > 10);
});

test("a rate rises no more once three spans in a row have not been better than the best", () => {
  const rise = new Rise(0);
  const counts = [100, 300, 700, 1_090, 1_480, 1_870, 2_260];
  assert.deepEqual(
    counts.map((count, span) => rise.isOver((span + 1) * 500, count)),
    [false, false, false, false, false, true, true],
  );
});

test("reports that came before figures began are left out of totals and latencies, over the lives of a worker", () => {
  const report = (completed: number, latencies: readonly number[]): WorkerReport => {
    const all = latencyHistogram();
    for (const ms of latencies) all.record(ms);
    const outcomes = { completed: completed, duplicate: 0, "dead-lettered": 0, retried: 0, postponed: 0, released: 0, dropped: 0 };
    const statistics = { outcomes, skills: { greet: outcomes }, events: { "run.resumed": completed }, latencyMs: { p50: 0, p99: 0, max: 0, count: 0 } };
    return { statistics, view: {} as WorkerReport["view"], latencies: all.toNumbers() };
  };
  const reports = new WorkerReports();
  reports.add(0, report(3, [500, 600, 700]));
  reports.begin();
  assert.deepEqual([reports.totals().outcomes["completed"], reports.latencies().count], [0, 0]);
  reports.add(0, report(5, [500, 600, 700, 20, 30]));
  reports.add(1, report(1, [40]));
  const { outcomes, skills, events } = reports.totals();
  assert.deepEqual([outcomes["completed"], skills["greet"]?.["completed"], events["run.resumed"]], [3, 3, 3]);
  assert.deepEqual([reports.latencies().count, reports.latencies().percentile(100)], [3, 40]);
});
