/** `holdfast reconcile`: records and messages that disagree, and what would mend them; mends them when it is told to. */
import { counted } from "../core/counted.ts";
import { composeLetters, composeQueues } from "../compose/dead-letters.ts";
import { composePublisher } from "../compose/broker.ts";
import { composeRecoveryQueue } from "../compose/recovery.ts";
import { limitsOf } from "../compose/executor.ts";
import { consumerBeside, firstSource, retryEntityOf } from "../core/config/sources.ts";
import { createPayloadHash } from "../core/payload-hash.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { type Disagreement, findDisagreements, type Mend, type ReconcileOptions, type Reconciliation } from "../recovery/reconcile.ts";
import { asFound, type Ended, mendEach } from "../recovery/reconcile-mend.ts";
import { lookedAfterBy } from "../recovery/sweeps.ts";
import { whoOf } from "./by-hand.ts";
import { printJson } from "./dlq-letters.ts";
import type { ReconcileCommandOptions } from "./reconcile-options.ts";
import { composeRunStore } from "../compose/store.ts";
import { loadSources } from "./load-source.ts";
import { type OpenRecords, withRecordsOf } from "./runs-records.ts";
import { writeText } from "./output.ts";

const mendWords: Readonly<Record<Mend["do"], string>> = {
  complete: "complete the message",
  "give-up": "give the run up on record",
  close: "note in its record that nothing of it is left",
  create: "make its record again, as given up",
  replay: "replay the dead letter, so that its compensation goes on",
};

/** Whether nothing is left to mend. */
export async function reconcile(options: ReconcileCommandOptions): Promise<boolean> {
  const all: Reconciled[] = [];
  for (const loaded of await loadSources(options)) {
    const one = await withRecordsOf(loaded, (open) => reconcileOne(open, options));
    all.push(one);
    if (one.isInterrupted) break;
  }
  if (options.json === true) printJson(plain(all));
  else writeText(describe(all, options));
  return all.every(({ isInterrupted, ended }) => !isInterrupted && ended.every(({ result }) => result === "mended" || result === "moved"));
}

/** What was found of one source, and what became of it. */
interface Reconciled {
  readonly source: string;
  readonly found: Reconciliation;
  readonly ended: readonly Ended[];
  readonly isInterrupted: boolean;
}

async function reconcileOne(open: OpenRecords, options: ReconcileCommandOptions): Promise<Reconciled> {
  const { config, whole, directory, name: source } = open.loaded;
  // The jobs of all sources lie with the first.
  const first = composeRunStore(whole, directory);
  const queue = composeRecoveryQueue(whole, directory, first);
  const [queues, letters] = await Promise.all([composeQueues(config), composeLetters(config, options.forwardedTo)]);
  const boxes = [...queues, ...letters.boxes];
  try {
    await first.start();
    queue?.start({ failed: () => undefined, disturbed: () => undefined, recovered: () => undefined });
    for (const box of boxes) await box.start();
    const hashPayload = createPayloadHash(limitsOf(config));
    const lookedAfter = lookedAfterBy(queue, consumerBeside(firstSource(config), whole));
    const finding = { ...open, ...lookedAfter, clock: systemClock, queues, letters, hashPayload, quietMs: options.quietFor, peekMax: options.peek };
    const found = await findDisagreements(finding);
    const ended = options.apply === true ? await mendAll(open, whoOf(options), finding, found.disagreements) : found.disagreements.map(asFound);
    return { source, found, ended, isInterrupted: open.signal.aborted };
  } finally {
    for (const box of boxes) await box.stop();
    await queue?.stop(0);
    await first.stop();
  }
}

async function mendAll({ loaded }: OpenRecords, who: string, finding: ReconcileOptions, disagreements: readonly Disagreement[]): Promise<readonly Ended[]> {
  const publisher = await composePublisher(loaded.config);
  await publisher.start();
  try {
    return await mendEach({ ...finding, publisher, retryEntity: retryEntityOf(firstSource(loaded.config)), who }, disagreements);
  } finally {
    await publisher.stop();
  }
}

function sumOf(all: readonly Reconciled[]): Omit<Reconciliation, "disagreements"> {
  const sum = (count: "records" | "messages" | "letters"): number => all.reduce((total, { found }) => total + found[count], 0);
  return { records: sum("records"), messages: sum("messages"), letters: sum("letters"), cutShort: all.flatMap(({ found }) => found.cutShort) };
}

function plain(all: readonly Reconciled[]): unknown {
  const list = all.flatMap(({ source, ended }) =>
    ended.map(({ disagreement: { kind, eventId, what, mend: order }, result, why }) => ({
      source,
      kind,
      eventId,
      what,
      mend: mendWords[order.do],
      result,
      why,
    })),
  );
  return { ...sumOf(all), disagreements: list };
}

function describe(all: readonly Reconciled[], options: ReconcileCommandOptions): string {
  const { records, messages, letters, cutShort } = sumOf(all);
  const looked = `looked at ${counted(records, "record")} of runs that are not done, ${counted(messages, "message")} and ${counted(letters, "dead letter")}`;
  const short =
    cutShort.length === 0 ? "" : `\n${cutShort.join(" and ")} hold more than --peek ${options.peek}: no message is known to be missing, so none is missed`;
  const lines = all.flatMap(({ source, ended }) => ended.map((one) => `${all.length > 1 ? `${source}: ` : ""}${lineOf(one)}`));
  if (lines.length === 0) return `${looked}: they agree${short}\n`;
  const shown = lines.slice(0, options.limit);
  const more = lines.length > shown.length ? `\nand ${lines.length - shown.length} more; --limit says how many are shown` : "";
  const dry = options.apply === true ? "" : `\ndry run: nothing was changed; --apply mends them`;
  return `${looked}: ${counted(lines.length, "disagreement")}${short}\n${shown.join("\n")}${more}${dry}\n`;
}

function lineOf({ disagreement: { kind, eventId, what, mend: order }, result, why }: Ended): string {
  const act = result === "found" ? `would ${mendWords[order.do]}` : `${result}${why === "" ? "" : `: ${why}`} (${mendWords[order.do]})`;
  return `${kind}  ${eventId}: ${what}; ${act}`;
}
