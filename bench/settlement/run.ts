import { setTimeout as pause } from "node:timers/promises";
import { type BenchBroker, fill, startBenchBroker } from "../support/broker.ts";
import { single } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { type Contender, contenders } from "./contenders.ts";
import { Wishes } from "./wishes.ts";

export interface SettlementOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly messages: number;
  readonly seed: number;
}

interface Outcome {
  readonly name: string;
  readonly settlements: number;
  readonly reported: number;
  readonly wrong: number;
  readonly perSecond: number;
}

const quickMessages = 40_000;
const bodyBytes = 64;
const lookEveryMs = 20;
/** How long nothing may change in the queue before the rest of it counts as left behind. */
const stillMaxMs = 10_000;

export async function run(asked: SettlementOptions): Promise<number> {
  const options = asked.quick === true ? { ...asked, messages: Math.min(asked.messages, quickMessages) } : asked;
  const report = new Report("settlement", options);
  const broker = await startBenchBroker(
    contenders.map(({ name }) => name),
    { record: true },
  );
  const outcomes: Outcome[] = [];
  try {
    for (const contender of contenders) outcomes.push(await settleAll(broker, contender, options));
  } finally {
    await broker.peer.stop();
  }
  report.table({
    name: "outcomes",
    title: `${options.messages.toLocaleString("en")} messages each, outcomes at random (seed ${options.seed}), 500 in flight`,
    columns: { name: "", settlements: "settlements", reported: "reported as done", wrong: "messages that ended otherwise", perSecond: "settlements/s" },
    rows: outcomes.map((outcome) => ({ ...outcome })),
  });
  const [ours, sdk] = outcomes;
  report.guards({ what: "amqp: messages that ended otherwise", wrong: ours!.wrong });
  report.gates({ what: "sdk: messages that ended otherwise, all reported as done", found: single(sdk!.wrong, 0), unit: "messages", bound: { atLeast: 1 } });
  report.ratio("settlements/s: amqp / SDK", single(ours!.perSecond / sdk!.perSecond, 2));
  report.chart({
    kind: "bars",
    title: "Messages that ended otherwise than they were settled",
    unit: "messages",
    labels: outcomes.map(({ name }) => name),
    series: [{ name: "ended otherwise", values: outcomes.map(({ wrong }) => wrong) }],
  });
  return report.end();
}

async function settleAll(broker: BenchBroker, contender: Contender, { messages, seed }: SettlementOptions): Promise<Outcome> {
  const { name } = contender;
  showProgress(`${name}: filling the queue`);
  const body = Buffer.alloc(bodyBytes);
  await fill(broker, name, messages, (index) => ({ messageId: `${index}`, body, headers: {} }));
  showProgress(`${name}: settling`);
  const wishes = new Wishes(seed);
  const startMs = performance.now();
  const settling = await contender.start(broker.connectionString, wishes);
  const doneMs = await Promise.race([whenOver(broker, name), settling.failed]);
  await settling.stop();
  const outcomes = (await broker.peer.call("outcomes", name)) ?? new Map<string, readonly string[]>();
  showProgress("");
  const { settlements } = wishes;
  return {
    name,
    settlements,
    reported: settling.reported(),
    wrong: wishes.wrongIn(outcomes, messages),
    perSecond: Math.round((settlements / (doneMs - startMs)) * 1_000),
  };
}

/** Waits until the queue holds nothing that could be received or is locked, or nothing changes any more. */
async function whenOver({ peer }: BenchBroker, queue: string): Promise<number> {
  let left = Number.NaN;
  let changedMs = performance.now();
  for (;;) {
    const { active, locked } = (await peer.call("inspect")).queues[queue]!.states;
    if (active + locked === 0) return performance.now();
    if (active + locked !== left) changedMs = performance.now();
    else if (performance.now() - changedMs > stillMaxMs) return changedMs;
    left = active + locked;
    await pause(lookEveryMs);
  }
}
