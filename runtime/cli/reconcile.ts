/** `holdfast reconcile`: records and messages that disagree, and what would mend them; mends them when it is told to. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { composeLetters, composeQueues } from "../compose/dead-letters.ts";
import { composePublisher } from "../compose/broker.ts";
import { composeRecoveryQueue } from "../compose/recovery.ts";
import { limitsOf } from "../compose/executor.ts";
import { firstSource, retryEntityOf } from "../core/config/sources.ts";
import { createPayloadHash } from "../core/payload-hash.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { type Disagreement, findDisagreements, type Mend, type ReconcileOptions, type Reconciliation } from "../recovery/reconcile.ts";
import { asFound, type Ended, mendEach } from "../recovery/reconcile-mend.ts";
import { lookedAfterBy } from "../recovery/sweeps.ts";
import { printJson } from "./dlq-letters.ts";
import type { ReconcileCommandOptions } from "./reconcile-options.ts";
import { type OpenRecords, withRecords } from "./runs-records.ts";
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
  return withRecords(options, async (open) => {
    const { config, directory } = open.loaded;
    const queue = composeRecoveryQueue(config, directory, open.store);
    const [queues, letters] = await Promise.all([composeQueues(config), composeLetters(config, options.forwardedTo)]);
    const boxes = [...queues, ...letters.boxes];
    try {
      queue?.start({ failed: () => undefined, disturbed: () => undefined, recovered: () => undefined });
      for (const box of boxes) await box.start();
      const hashPayload = createPayloadHash(limitsOf(config));
      const finding = { ...open, ...lookedAfterBy(queue), clock: systemClock, queues, letters, hashPayload, quietMs: options.quietFor, peekMax: options.peek };
      const found = await findDisagreements(finding);
      const ended = options.apply === true ? await mendAll(open, finding, found.disagreements) : found.disagreements.map(asFound);
      if (options.json === true) printJson(plain(found, ended));
      else writeText(describe(found, ended, options));
      return !open.signal.aborted && ended.every(({ result }) => result === "mended" || result === "moved");
    } finally {
      for (const box of boxes) await box.stop();
      await queue?.stop(0);
    }
  });
}

async function mendAll({ loaded }: OpenRecords, finding: ReconcileOptions, disagreements: readonly Disagreement[]): Promise<readonly Ended[]> {
  const publisher = await composePublisher(loaded.config);
  const token = `${hostname()}:${process.pid}:reconcile-${randomUUID().slice(0, 8)}:0`;
  await publisher.start();
  try {
    return await mendEach({ ...finding, publisher, retryEntity: retryEntityOf(firstSource(loaded.config)), token }, disagreements);
  } finally {
    await publisher.stop();
  }
}

function plain({ disagreements: _, ...counts }: Reconciliation, ended: readonly Ended[]): unknown {
  const list = ended.map(({ disagreement: { kind, eventId, what, mend: order }, result, why }) => ({
    kind,
    eventId,
    what,
    mend: mendWords[order.do],
    result,
    why,
  }));
  return { ...counts, disagreements: list };
}

function describe({ records, messages, letters, cutShort }: Reconciliation, ended: readonly Ended[], options: ReconcileCommandOptions): string {
  const looked = `looked at ${records} records of runs that are not done, ${messages} messages and ${letters} dead letters`;
  const short =
    cutShort.length === 0 ? "" : `\n${cutShort.join(" and ")} hold more than --peek ${options.peek}: no message is known to be missing, so none is missed`;
  if (ended.length === 0) return `${looked}: they agree${short}\n`;
  const shown = ended.slice(0, options.limit).map(({ disagreement: { kind, eventId, what, mend: order }, result, why }) => {
    const act = result === "found" ? `would ${mendWords[order.do]}` : `${result}${why === "" ? "" : `: ${why}`} (${mendWords[order.do]})`;
    return `${kind}  ${eventId}: ${what}; ${act}`;
  });
  const more = ended.length > shown.length ? `\nand ${ended.length - shown.length} more; --limit says how many are shown` : "";
  const dry = options.apply === true ? "" : `\ndry run: nothing was changed; --apply mends them`;
  return `${looked}: ${ended.length} disagreements${short}\n${shown.join("\n")}${more}${dry}\n`;
}
