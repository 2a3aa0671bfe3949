/**
 * A worker's CPU a message at a rate that is the same whatever is switched on: an open loop below saturation. At saturation what takes a message's CPU
 * also takes its rate, and collector and scraper compete with the worker for processors; batches are smaller then, and a message costs more for
 * a reason that is not the worker's.
 *
 * Before anything counts, one message of eight comes from a producer that was traced, so that the worker traces it, too: what makes and exports spans,
 * and what answers a scrape, is compiled then, as it is in a worker that has been up for some minutes.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { traceparentHeader, writeTraceparent } from "#runtime/core/trace-context.ts";
import type { Shape } from "../peers/work.ts";
import type { Arena } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { sharedMonotonicMs } from "../support/notes.ts";
import { openLoop, type Subject } from "../support/open-loop.ts";
import type { Verdict } from "../support/verdict.ts";
import type { Collector } from "./collector.ts";
import { prepare, type Setting } from "./settings.ts";

export interface PacedTurn {
  readonly clientMicros: number;
  readonly perSecond: number;
  readonly scrapes: number;
  readonly exports: number;
  readonly verdict: Verdict;
}

/** One of so many, for so long: more would be more than the queue of spans takes. */
const warmEvery = 8;
const warmMs = 2_000;
const warmScrapes = 20;
const settleMs = 1_000;
/** After the last message that counts. */
const tailMs = 300;
const secondMs = 1_000;
const parentSpanId = "00f067aa0ba902b7";

export interface PacedOptions {
  readonly shape: Shape;
  readonly setting: Setting;
  readonly perSecond: number;
  /** How long it is measured; Prometheus comes once meanwhile. */
  readonly windowMs: number;
}

export async function pacedTurn(arena: Arena, collector: Collector, { shape, setting, perSecond, windowMs }: PacedOptions): Promise<PacedTurn> {
  const { ground, scrape } = await prepare(setting, collector);
  const counted = { fromMs: 0, toMs: 0, cpuMs: 0, scrapes: 0, exports: 0 };
  let isWarm = false;
  const meanwhile = async (subject: Subject, startMs: number): Promise<void> => {
    await pause(startMs + warmMs - sharedMonotonicMs());
    isWarm = true;
    await pause(startMs + warmMs + settleMs - sharedMonotonicMs());
    const begun = { fromMs: sharedMonotonicMs(), cpuMs: subject.cpuMs(), exports: collector.taken };
    await pause(windowMs / 2);
    if (await scrape()) counted.scrapes += 1;
    await pause(begun.fromMs + windowMs - sharedMonotonicMs());
    const after = { toMs: sharedMonotonicMs(), cpuMs: subject.cpuMs() - begun.cpuMs, exports: collector.taken - begun.exports };
    Object.assign(counted, { fromMs: begun.fromMs, ...after });
  };
  const before = async (): Promise<void> => {
    for (let warm = 0; warm < warmScrapes; warm += 1) await scrape();
  };
  let sent = 0;
  const tracedWhileCold = (message: OutgoingMessage): OutgoingMessage => (!isWarm && (sent += 1) % warmEvery === 0 ? traced(message) : message);
  const events = Math.round((perSecond * (warmMs + settleMs + windowMs + tailMs)) / secondMs);
  const load = { events, arrivals: { kind: "poisson", perSecond }, eventTypes: shape.eventTypes } as const;
  const { ended, verdict } = await openLoop(arena, contenderOf("holdfast"), { load, ground, before, prepare: tracedWhileCold, meanwhile });
  const { fromMs, toMs, cpuMs } = counted;
  const messages = ended.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).length;
  return {
    clientMicros: (cpuMs * 1_000) / messages,
    perSecond: (messages * secondMs) / (toMs - fromMs),
    scrapes: counted.scrapes,
    exports: counted.exports,
    verdict,
  };
}

/** As from a producer that was traced, and chosen. */
function traced(message: OutgoingMessage): OutgoingMessage {
  const { traceId } = JSON.parse(Buffer.from(message.body).toString("utf8")) as { readonly traceId: string };
  return { ...message, headers: { ...message.headers, [traceparentHeader]: writeTraceparent({ traceId, spanId: parentSpanId }, true) } };
}
