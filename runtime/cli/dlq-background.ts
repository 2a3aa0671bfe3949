/** Replays that the workers carry out: handing one to them, and what became of those that were. */
import { counted } from "../core/counted.ts";
import { createHash } from "node:crypto";
import { composeRecoveryQueue } from "../compose/recovery.ts";
import { composeRunStore } from "../compose/store.ts";
import { consumerBeside, firstSource } from "../core/config/sources.ts";
import type { Config } from "../core/config.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { JobView, RecoveryQueue } from "../ports/recovery-queue.ts";
import { type BackgroundReplay, replayKind } from "../recovery/background-replay.ts";
import type { Letter } from "../recovery/letters.ts";
import type { GroupReport } from "../recovery/replay.ts";
import { whoOf } from "./by-hand.ts";
import { printJson } from "./dlq-letters.ts";
import type { DlqOptions, ReplayCommandOptions } from "./dlq-options.ts";
import { loadConfig } from "./load-config.ts";
import type { LoadedSource } from "./load-source.ts";
import { writeText } from "./output.ts";

const words: Readonly<Record<GroupReport["state"], string>> = {
  replaying: "going on",
  done: "done",
  "same-failure": "stopped: the same failure has returned",
  "other-failure": "stopped: it failed in another way",
  undecided: "stopped: runs have not ended within --wait; run it again to go on",
  incomplete: "incomplete: the others are locked, by a command that was killed or is at work; run it again in a few minutes",
  interrupted: "interrupted; run it again to go on",
};

export function describeReplay({ fingerprint, state, letters, replayed, completed, failed, why }: GroupReport): string {
  const reason = why === "" ? "" : ` (${why})`;
  return `${fingerprint}: ${replayed} of ${letters} replayed, ${completed} completed, ${failed} failed; ${words[state]}${reason}`;
}

const idCharacters = 12;
const keepDoneMs = 7 * 24 * 3_600_000;
const stopMs = 1_000;
/** A broker or a store that is away for some hours ends no replay. */
const retry = { attemptsMax: 200, baseDelayMs: 1_000, delayMaxMs: 60_000 };

async function withQueue<T>(config: Config, directory: string, work: (queue: RecoveryQueue) => Promise<T>): Promise<T> {
  const store = composeRunStore(config, directory);
  const queue = composeRecoveryQueue(config, directory, store);
  if (queue === undefined)
    throw new ConfigurationError(
      "expected a recovery queue that workers share, found none: it is switched off, or the store is in memory; see `recovery` in the configuration",
    );
  await store.start();
  queue.start({ failed: () => undefined, disturbed: () => undefined, recovered: () => undefined });
  try {
    return await work(queue);
  } finally {
    await queue.stop(stopMs);
    await store.stop();
  }
}

/** What lies there now is meant. The same order once more is the same replay while that goes on; one that has ended starts over. */
export async function handToWorkers(
  options: ReplayCommandOptions,
  patch: unknown,
  letters: readonly Letter[],
  { config, whole, directory }: LoadedSource,
): Promise<boolean> {
  const until = new Map<string, bigint>();
  for (const { box, sequenceNumber } of letters) if (sequenceNumber > (until.get(box.name) ?? -1n)) until.set(box.name, sequenceNumber);
  const consumer = consumerBeside(firstSource(config), whole);
  const data: BackgroundReplay = {
    ...(consumer === undefined ? {} : { consumer }),
    selection: { groups: options.group, events: options.event },
    ...(options.forwardedTo === undefined ? {} : { forwardedTo: options.forwardedTo }),
    ...(patch === undefined ? {} : { patch: JSON.stringify(patch) }),
    from: options.from,
    repeatsInDoubt: options.repeatInDoubt === true,
    reason: options.reason,
    who: whoOf(options),
    perSecond: options.perSecond,
    waitMs: options.wait * 1_000,
    failuresMax: options.failuresMax,
    until: Object.fromEntries([...until].map(([name, last]) => [name, String(last)])),
    groups: [],
  };
  const id = createHash("sha256").update(JSON.stringify(data)).digest("hex").slice(0, idCharacters);
  const result = await withQueue(whole, directory, (queue) => queue.add({ kind: replayKind, id, data, keepDoneMs, retry, replacesEnded: true }));
  if (options.json === true) printJson({ replay: id, letters: letters.length, isNew: result === "added" });
  else
    writeText(
      `replay ${id} of ${counted(letters.length, "letter")} ${result === "added" ? "was handed to the workers" : "is with the workers already"}; \`holdfast dlq replay --status\` shows it\n`,
    );
  return true;
}

/** False when a group was stopped, or a replay is given up. */
export async function showReplays(options: DlqOptions): Promise<boolean> {
  const { config, directory } = await loadConfig(options.config);
  const views = await withQueue(config, directory, (queue) => queue.list(replayKind));
  const plain = views.map(plainReplay);
  if (options.json === true) printJson(plain);
  else writeText(plain.length === 0 ? "no replays were handed to the workers\n" : `${plain.map(describeJob).join("\n")}\n`);
  return plain.every(({ state, groups }) => state !== "failed" && groups.every((group) => !/^(same|other)-failure|undecided$/.test(group.state)));
}

interface PlainReplay extends Pick<JobView, "id" | "state" | "failure"> {
  readonly reason: string;
  readonly groups: BackgroundReplay["groups"];
}

function plainReplay({ id, state, failure, data }: JobView): PlainReplay {
  // Written by `handToWorkers` and by the workers.
  const { reason, groups } = data as BackgroundReplay;
  return { id, state, failure, reason, groups };
}

function describeJob({ id, state, failure, groups }: PlainReplay): string {
  const lines = groups.map((group) => `  ${describeReplay(group)}`);
  return [`replay ${id}: ${state}${failure === "" ? "" : ` (${failure})`}`, ...lines].join("\n");
}
