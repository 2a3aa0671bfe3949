/** The command that replays dead letters, as a process of the drill's world. */
import type { HashPayload } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import type { DeadLetterBox } from "#runtime/ports/dead-letters.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { type Letter, type Letters, scan } from "#runtime/recovery/letters.ts";
import { type GroupState, replayGroups } from "#runtime/recovery/replay.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";
import type { ProcessClock } from "#runtime/testing/world/sim-clock.ts";

const perSecond = 20;
const waitMs = 60_000;

export interface ReplayParts {
  readonly clock: ProcessClock;
  readonly box: DeadLetterBox;
  readonly store: RunStore;
  readonly publisher: Publisher;
  readonly hashPayload: HashPayload;
}

/** Whether this state of a group needs no further command: what it could not do, no other one can. */
function isFinal(state: GroupState): boolean {
  return state === "done" || state === "same-failure";
}

/** Replays all letters that lie there, as `holdfast dlq replay --run` does; whether no further command is needed. */
export async function replayOnce({ clock, box, store, publisher, hashPayload }: ReplayParts): Promise<boolean> {
  const letters: Letters = { boxes: [box], sources: [queueName], readRoute: (delivery) => readRoute(delivery, defaultDecodeLimits) };
  const groups = new Map<string, Letter[]>();
  for await (const { letter } of scan(letters)) groups.set(letter.fingerprint, [...(groups.get(letter.fingerprint) ?? []), letter]);
  await store.start();
  const reports = await replayGroups(
    letters,
    [...groups.values()],
    { clock, store, publisher, retryEntity: queueName, consumer: queueName, hashPayload },
    {
      from: "checkpoint",
      repeatsInDoubt: false,
      reason: "mended",
      who: "drill",
      patch: undefined,
      perSecond,
      waitMs,
      failuresMax: 0,
      signal: new AbortController().signal,
      progress: () => undefined,
    },
  );
  return reports.every(({ state }) => isFinal(state));
}
