/**
 * What a worker's CPU a message is with something switched on, and what that of another is which runs beside it at the same time with everything off, at the
 * same rate: an open loop below saturation. At saturation what takes a message's CPU also takes its rate, and collector and scraper compete with the
 * worker for processors; batches are smaller then, and a message costs more for a reason that is not the worker's. One after the other, two turns
 * differ by more than what is looked for, for the machine does: beside each other they meet the same machine, collector and scraper included.
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
import { off, prepare, type Setting } from "./settings.ts";

export interface PacedTurn {
  readonly clientMicros: number;
  readonly perSecond: number;
  readonly scrapes: number;
  readonly exports: number;
  readonly verdict: Verdict;
}

export interface Pair {
  readonly off: PacedTurn;
  readonly on: PacedTurn;
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
  readonly perSecond: number;
  /** How long it is measured; Prometheus comes once meanwhile. */
  readonly windowMs: number;
}

/** `isOffFirst`: which of the two starts first; they should take turns. */
export async function pacedPair(
  arena: Arena,
  collector: Collector,
  on: Setting,
  { isOffFirst, ...options }: PacedOptions & { isOffFirst: boolean },
): Promise<Pair> {
  const both = new Meeting(2);
  const turns = (isOffFirst ? [off, on] : [on, off]).map(async (setting) => pacedTurn(arena, collector, setting, options, both));
  const [first, second] = (await Promise.all(turns)) as [PacedTurn, PacedTurn];
  return isOffFirst ? { off: first, on: second } : { off: second, on: first };
}

/** So many go on together, each time that all are there. */
class Meeting {
  readonly #size: number;
  #next = Promise.withResolvers<void>();
  #there = 0;

  constructor(size: number) {
    this.#size = size;
  }

  async wait(): Promise<void> {
    const { promise, resolve } = this.#next;
    this.#there += 1;
    if (this.#there === this.#size) {
      this.#there = 0;
      this.#next = Promise.withResolvers();
      resolve();
    }
    await promise;
  }
}

async function pacedTurn(
  arena: Arena,
  collector: Collector,
  setting: Setting,
  { shape, perSecond, windowMs }: PacedOptions,
  both: Meeting,
): Promise<PacedTurn> {
  const { ground, scrape } = await prepare(setting, collector);
  const counted = { fromMs: 0, toMs: 0, cpuMs: 0, scrapes: 0, exports: 0 };
  let isWarm = false;
  const meanwhile = async (subject: Subject, startMs: number): Promise<void> => {
    await pause(startMs + warmMs - sharedMonotonicMs());
    isWarm = true;
    await pause(startMs + warmMs + settleMs - sharedMonotonicMs());
    await both.wait();
    const begun = { fromMs: sharedMonotonicMs(), cpuMs: subject.cpuMs(), exports: collector.taken };
    await pause(windowMs / 2);
    if (await scrape()) counted.scrapes += 1;
    await pause(begun.fromMs + windowMs - sharedMonotonicMs());
    const after = { toMs: sharedMonotonicMs(), cpuMs: subject.cpuMs() - begun.cpuMs, exports: collector.taken - begun.exports };
    Object.assign(counted, { fromMs: begun.fromMs, ...after });
  };
  const before = async (): Promise<void> => {
    for (let warm = 0; warm < warmScrapes; warm += 1) await scrape();
    await both.wait();
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
    exports: setting.isTraced === true ? counted.exports : 0,
    verdict,
  };
}

/** As from a producer that was traced, and chosen. */
function traced(message: OutgoingMessage): OutgoingMessage {
  const { traceId } = JSON.parse(Buffer.from(message.body).toString("utf8")) as { readonly traceId: string };
  return { ...message, headers: { ...message.headers, [traceparentHeader]: writeTraceparent({ traceId, spanId: parentSpanId }, true) } };
}
