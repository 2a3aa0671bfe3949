/**
 * Has the world work before a trial begins, so that its figures are those of code that has been compiled: the first hundreds of events of a
 * process cost several times the CPU of later ones. Events of the same kinds, of a seed of their own, go the whole way through broker, worker
 * and stand-ins, until the rate rises no more. All of them have ended when the trial begins, and nobody counts them: broker, worker and
 * stand-ins are looked at as they stand then.
 */
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { HoldfastError } from "#runtime/core/errors.ts";
import { defaultMix, generate } from "../generator/generate.ts";
import { type Sendable, Sender } from "../generator/send.ts";
import type { StandInControl } from "../stand-ins/client.ts";
import type { BrokerControl } from "./broker-account.ts";
import { Rise } from "./rise.ts";
import type { WorkerReports } from "./worker-reports.ts";
import type { World } from "./world.ts";

export interface WarmUpOptions {
  /** Of the trial; the warm-up has another. */
  readonly seed: number;
  readonly duplicates: number;
  /** Events of the trial: a short one gets a short warm-up. */
  readonly eventsMax: number;
  /** Ends it at once, with what it sent under way. */
  readonly signal: AbortSignal;
}

/** What it needs of a world. */
export interface WarmUpParts extends Pick<World, "publisher" | "queue"> {
  readonly broker: Pick<BrokerControl, "account" | "begin">;
  readonly worker: { readonly reports: Pick<WorkerReports, "totals">; begin(): void };
  readonly standIns: Pick<StandInControl, "forget">;
}

/** Nothing is sent later. */
const sendingMaxMs = 4_500;
/** What was sent by then ends within this, or something is broken. */
const endingMaxMs = 120_000;
/** As a trial does about: to look takes time from those who are to work. */
const lookEveryMs = 50;
/** Messages that may be under way: as many as a trial has under way soon, and no more than end within a second, for the trial waits for them. */
const underWayMax = 1_000;
/** Drafts end at the pace of their model, and not sooner for being warm: a few are enough, and the trial need not wait for a heap of them. */
const mix = { ...defaultMix, "document-drafter": defaultMix["document-drafter"] * 0.4 };
/** No trial has such a seed. */
const seedsApart = 2 ** 32;
/** What the worker may end a message with. */
const ends = ["completed", "duplicate", "dead-lettered"];

/** Resolves with how many messages were worked on. */
export async function warmUp(parts: WarmUpParts, { seed, duplicates, eventsMax, signal }: WarmUpOptions): Promise<number> {
  const sender = new Sender({ publisher: parts.publisher, entity: parts.queue, clock: systemClock });
  const messages = generate({ events: eventsMax, duplicates, poison: 0, seed: seed + seedsApart, mix })[Symbol.iterator]();
  const startedMs = performance.now();
  const rise = new Rise(startedMs);
  let given = 0;
  let ended = 0;
  for (let isMore = true; isMore && !signal.aborted; ended = await endedAtBroker(parts)) {
    const chunk = taken(messages, underWayMax - (given - ended));
    given += chunk.length;
    await sender.add(chunk);
    await sender.flush();
    const nowMs = performance.now();
    isMore = (chunk.length > 0 || given > ended) && nowMs < startedMs + sendingMaxMs && !rise.isOver(nowMs, ended);
    await pause(lookEveryMs);
  }
  await sender.finish();
  ended = Math.min(ended, endedByWorker(parts));
  const untilMs = performance.now() + endingMaxMs;
  while (ended < given && !signal.aborted) {
    if (performance.now() > untilMs)
      throw new HoldfastError("HOLDFAST_WARM_UP", `expected the warm-up's messages to end, ${given - ended} of ${given} have not; see the worker's log above`);
    await pause(lookEveryMs);
    ended = Math.min(await endedAtBroker(parts), endedByWorker(parts));
  }
  parts.worker.begin();
  await Promise.all([parts.broker.begin(), parts.standIns.forget()]);
  return given;
}

function taken(messages: Iterator<Sendable>, count: number): readonly Sendable[] {
  const chunk: Sendable[] = [];
  while (chunk.length < count) {
    const next = messages.next();
    if (next.done === true) break;
    chunk.push(next.value);
  }
  return chunk;
}

async function endedAtBroker({ broker }: WarmUpParts): Promise<number> {
  const { completed, deadLettered } = await broker.account();
  return completed + deadLettered;
}

/** It reports a few times a second. What it is yet to report would be counted later: so the trial waits for that. */
function endedByWorker({ worker }: WarmUpParts): number {
  const { outcomes } = worker.reports.totals();
  return ends.reduce((sum, end) => sum + (outcomes[end] ?? 0), 0);
}
