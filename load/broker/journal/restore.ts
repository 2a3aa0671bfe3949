// Puts what a journal kept back into the entities, and tells the journal what they hold.
import { StoredMessage } from "../entities/message.ts";
import type { Namespace } from "../entities/namespace.ts";
import type { Journal, Keepable, Kept } from "./journal.ts";
import type { KeptMessage } from "./records.ts";

/** Returns how many messages came back. Entities that only the journal knows come back with their messages. */
export function restore(namespace: Namespace, kept: Kept): number {
  if (kept.definitions !== undefined) namespace.addMissing(kept.definitions);
  let count = 0;
  for (const holder of [...namespace.allQueues(), ...namespace.topics.values()]) {
    const found = kept.entities.get(holder.path);
    if (found === undefined) continue;
    count += found.messages.size;
    holder.restore([...found.messages.values()].sort((a, b) => a.sequenceNumber - b.sequenceNumber).map(messageOf), found.lastSequence);
    const sessions = "sessions" in holder ? holder.sessions : undefined;
    for (const [sessionId, state] of found.sessionStates) sessions?.restoreState(sessionId, state);
  }
  return count;
}

function messageOf(kept: KeptMessage): StoredMessage {
  const message = new StoredMessage(kept, kept.sequenceNumber, kept.enqueuedAtMs);
  const { state, deliveryCount, expiresAtMs, dueAtMs } = kept;
  return Object.assign(message, { state, deliveryCount, expiresAtMs, dueAtMs });
}

export function startKeeping(journal: Journal, namespace: Namespace): void {
  journal.start(
    () => holdings(namespace),
    () => namespace.definitions(),
  );
  journal.onDefinitions();
}

function* holdings(namespace: Namespace): Generator<Keepable> {
  for (const holder of [...namespace.allQueues(), ...namespace.topics.values()]) {
    const sessions = "sessions" in holder ? holder.sessions : undefined;
    yield {
      path: holder.path,
      lastSequence: holder.lastSequence,
      messages: () => holder.messages(),
      sessionStates: function* (): Generator<readonly [string, Buffer]> {
        for (const { sessionId, state } of sessions?.all() ?? []) if (state !== undefined) yield [sessionId, state];
      },
    };
  }
}
