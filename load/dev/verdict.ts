/**
 * What became of everything, judged from outside the worker: by the broker's account, the run records and the ledgers of
 * the dependencies, event by event.
 */
import type { RunView } from "#runtime/core/run.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { originHeader } from "#runtime/core/copy.ts";
import type { InspectedMessage } from "../broker/inspection.ts";
import type { GeneratedMessage } from "../generator/generate.ts";
import type { StandInControl } from "../stand-ins/client.ts";
import type { BrokerAccount, BrokerControl } from "./broker-account.ts";

/** The last line of a run. */
export interface Summary {
  /** Events the generator sent, each once; duplicates and poison come on top. */
  readonly events: number;
  /** Messages the broker accepted from the generator. */
  readonly accepted: number;
  readonly completed: number;
  /** Of these, how many were absorbed because their event had been done already. Events that are done while their message is still queued take no part. */
  readonly duplicates: number;
  readonly deadLettered: number;
  /** Messages without a done run, not dead-lettered and not queued any more. */
  readonly lost: number;
  /** Messages that ended otherwise than their content calls for, such as a good one dead-lettered. */
  readonly unexpected: number;
  /** Still in the queue. */
  readonly queued: number;
  /** Every keyed effect that a run recorded stands in the dependencies' ledgers exactly once, and no other. */
  readonly effectsOnce: boolean;
  readonly effects: number;
  /** Messages that ended, completed or dead-lettered, from when the first was sent to when the last ended. */
  readonly throughputPerSecond: number;
  /** Messages that ended in each second since the first was sent: of the first minute, and the last second may be cut short. */
  readonly throughputBySecond: readonly number[];
  /** From the broker's enqueue time to settlement. */
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** Runs that went on from a checkpoint. */
  readonly resumed: number;
  /** Calls made for a step after its checkpoint was durable. */
  readonly repeatedCalls: number;
}

interface Ends {
  doneRuns: number;
  /** Done events of which no message was completed yet: it is still queued, as after a lost lock. */
  readonly unsettled: Set<string>;
  lost: number;
  unexpected: number;
  /** Completed steps, by name. */
  readonly steps: Map<string, number>;
  /**
   * Events whose message was dead-lettered as `EventIdReuse` because the one that reuses its id was claimed first (possible
   * when a worker dies with the first in its hands): one of the two is done, whichever came first.
   */
  readonly swapped: Set<string>;
}

/** Run records read at once. */
const readsAtOnce = 64;
const reuse = "EventIdReuse";
const noBody = new Uint8Array(0);

/** The id of the message that was sent, of a copy as well. */
const originOf = (message: InspectedMessage): string => String(message.applicationProperties[originHeader] ?? message.messageId);

/** What the broker has yet of what was sent, by the ids of the messages sent. */
interface Left {
  readonly deadLetters: ReadonlyMap<string, string>;
  readonly waiting: ReadonlySet<string>;
}

async function leftAt(broker: BrokerControl, queued: boolean): Promise<Left> {
  const deadLetters = new Map<string, string>();
  for await (const message of broker.deadLetters()) deadLetters.set(originOf(message), message.deadLetterReason ?? "");
  const waiting = new Set<string>();
  if (queued) for await (const message of broker.waiting()) waiting.add(originOf(message));
  return { deadLetters, waiting };
}

/** A message that must be dead-lettered. */
function judgePoison(message: GeneratedMessage, left: Left, ends: Ends): void {
  const { messageId } = message.message;
  const deadLetterReason = left.deadLetters.get(messageId);
  if (deadLetterReason === message.reason) return;
  const tookItsPlace = deadLetterReason === undefined && message.reason === reuse && ends.swapped.has(message.eventId ?? "");
  if (!tookItsPlace) ends.unexpected += 1;
  else if (left.waiting.has(messageId)) ends.unsettled.add(message.eventId ?? "");
}

/** A message that must be completed; `run` is its event's record. */
function judgeGood(message: GeneratedMessage, run: RunView | undefined, left: Left, ends: Ends): void {
  const { messageId } = message.message;
  const deadLetterReason = left.deadLetters.get(messageId);
  const isWaiting = left.waiting.has(messageId);
  const isSwapped = deadLetterReason === reuse && run?.state === "done";
  if (isSwapped && message.eventId !== undefined) ends.swapped.add(message.eventId);
  if (deadLetterReason !== undefined && !isSwapped) ends.unexpected += 1;
  if (message.kind === "duplicate") {
    // It is the one that was completed, where the first one waits.
    if (!isWaiting && deadLetterReason === undefined) ends.unsettled.delete(message.eventId ?? "");
    return;
  }
  if (isWaiting && run?.state === "done") ends.unsettled.add(message.eventId ?? "");
  for (const step of run?.steps ?? []) if (step.state === "completed") ends.steps.set(step.name, (ends.steps.get(step.name) ?? 0) + 1);
  if (run?.state === "done") ends.doneRuns += 1;
  else if (deadLetterReason === undefined) ends.lost += 1;
}

/** Judges every message; what is still queued has not ended and is not judged. */
async function endsOf(messages: Iterable<GeneratedMessage>, store: RunStore, left: Left, queued: boolean): Promise<Ends> {
  const ends: Ends = { doneRuns: 0, unsettled: new Set(), lost: 0, unexpected: 0, steps: new Map(), swapped: new Set() };
  const poison: GeneratedMessage[] = [];
  let chunk: GeneratedMessage[] = [];
  const read = async ({ eventId }: GeneratedMessage): Promise<RunView | undefined> => (eventId === undefined ? undefined : store.read(eventId));
  const judgeChunk = async (): Promise<void> => {
    const runs = await Promise.all(chunk.map(read));
    chunk.forEach((message, index) => judgeGood(message, runs[index], left, ends));
    chunk = [];
  };
  for (const message of messages) {
    if (message.kind === "poison") poison.push({ ...message, message: { ...message.message, body: noBody } });
    else if (chunk.push(message) === readsAtOnce) await judgeChunk();
  }
  await judgeChunk();
  for (const message of poison) judgePoison(message, left, ends);
  return queued ? { ...ends, lost: 0, unexpected: 0 } : ends;
}

/** Calls that arrived for a step after the step's result was durable: what a checkpoint must prevent. */
async function repeatedCalls(standIns: StandInControl, store: RunStore): Promise<number> {
  let count = 0;
  for (const repeats of Object.values(await standIns.repeats())) {
    for (const { calls } of repeats) {
      const first = calls[0];
      if (first === undefined) continue;
      const run = await store.read(first.run);
      const step = run?.steps.find(({ name, state }) => name === first.step && state === "completed");
      if (step !== undefined) count += calls.filter(({ atMs }) => atMs > step.atMs).length;
    }
  }
  return count;
}

/** While messages are queued, an effect may stand whose step has not been recorded yet; a recorded one always has its effect. */
async function effectsOf(standIns: StandInControl, steps: ReadonlyMap<string, number>, queued: boolean): Promise<{ once: boolean; effects: number }> {
  const ledgers = Object.values(await standIns.summary());
  const seen = new Map<string, number>();
  for (const ledger of ledgers) for (const [step, count] of Object.entries(ledger.effectsByStep)) seen.set(step, (seen.get(step) ?? 0) + count);
  const clean = ledgers.every(
    ({ effects, distinctKeys, effectsAgain, conflicts, withoutKey, refused }) =>
      effects === distinctKeys && effectsAgain + conflicts + withoutKey + refused === 0,
  );
  const same = [...new Set([...seen.keys(), ...steps.keys()])].every((step) => {
    const [effects, recorded] = [seen.get(step) ?? 0, steps.get(step) ?? 0];
    return queued ? effects >= recorded : effects === recorded;
  });
  return { once: clean && same, effects: ledgers.reduce((sum, ledger) => sum + ledger.effects, 0) };
}

export interface VerdictOptions {
  readonly events: number;
  readonly account: BrokerAccount;
  readonly broker: BrokerControl;
  readonly standIns: StandInControl;
  readonly store: RunStore;
  /** Everything that was sent, made again from the same seed. */
  readonly messages: Iterable<GeneratedMessage>;
  /** From when the first was sent to when the last ended. */
  readonly elapsedMs: number;
  readonly bySecond: readonly number[];
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  readonly resumed: number;
}

export async function summarise(options: VerdictOptions): Promise<Summary> {
  const { events, account, broker, standIns, store, messages, elapsedMs, bySecond, latencyMs, resumed } = options;
  const ends = await endsOf(messages, store, await leftAt(broker, account.queued > 0), account.queued > 0);
  const effects = await effectsOf(standIns, ends.steps, account.queued > 0);
  return {
    events,
    accepted: account.accepted,
    completed: account.completed,
    duplicates: account.completed - (ends.doneRuns - ends.unsettled.size),
    deadLettered: account.deadLettered,
    lost: ends.lost,
    unexpected: ends.unexpected,
    queued: account.queued,
    effectsOnce: effects.once,
    effects: effects.effects,
    throughputPerSecond: Math.round(((account.completed + account.deadLettered) / elapsedMs) * 1_000),
    throughputBySecond: bySecond,
    latencyMs,
    resumed,
    repeatedCalls: await repeatedCalls(standIns, store),
  };
}

/** Whether the promises held: what `npm start` exits by. */
export function isSound(summary: Summary): boolean {
  const { accepted, completed, deadLettered, lost, unexpected, queued, effectsOnce, repeatedCalls } = summary;
  return accepted === completed + deadLettered + queued && lost === 0 && unexpected === 0 && effectsOnce && repeatedCalls === 0;
}
