import { setTimeout as pause } from "node:timers/promises";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { eventMessage } from "../support/event-message.ts";
import { figure } from "../support/figures.ts";
import type { Report } from "../support/report.ts";
import { onStage, queue } from "../support/stage.ts";

const everyMs = 10;
const warmUp = 300;
const messages = 2_000;

/** A hundred messages a second: how long after it was sent does a run begin? */
export async function quiet(report: Report): Promise<void> {
  const latencies = await onStage(async (stage) => {
    await stage.startWorker();
    const publisher = createAmqpPublisher({ connectionString: stage.broker.connectionString, clock: systemClock });
    await publisher.start();
    const startMs = performance.now();
    for (let sent = 0; sent < warmUp + messages; sent += 1) {
      await pause(Math.max(0, startMs + sent * everyMs - performance.now()));
      await publisher.send(queue, [eventMessage("timed", undefined, { sentMs: Date.now() })]);
    }
    await publisher.stop();
    await stage.empty();
    return stage.notes().slice(warmUp);
  });
  const sorted = latencies.toSorted((a, b) => a - b);
  const quantile = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN;
  report.table({
    name: "quiet",
    title: `${messages} messages, 100 a second: from sending to the beginning of the run`,
    columns: { runs: "runs", median: "p50, ms", tail: "p99, ms", most: "most, ms" },
    rows: [
      { runs: sorted.length, median: figure([quantile(0.5)], Number, 0), tail: figure([quantile(0.99)], Number, 0), most: figure([quantile(1)], Number, 0) },
    ],
  });
  report.targets({ what: "quiet: p99 from sending to the beginning", found: figure([quantile(0.99)], Number, 0), unit: "ms", bound: { atMost: 20 } });
}
