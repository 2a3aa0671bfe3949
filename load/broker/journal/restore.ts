// Puts what a journal kept back into the entities, and tells the journal what they hold.
import type { EntitiesConfig } from "../entities/entities-config.ts";
import { StoredMessage } from "../entities/message.ts";
import type { Namespace } from "../entities/namespace.ts";
import type { MessageQueue } from "../entities/queue.ts";
import type { Topic } from "../entities/topic.ts";
import type { Journal, Keepable } from "./journal.ts";
import type { Kept, KeptEntity } from "./kept.ts";
import type { KeptMessage } from "./records.ts";

/** Gives every entity of a namespace what it held. Locks are over: each message that was under one counts one more try. */
export function restore(namespace: Namespace, kept: Kept): void {
  const interrupted: (() => void)[] = [];
  for (const holder of holdersOf(namespace)) {
    const found = kept.entities.get(holder.path.toLowerCase());
    if (found === undefined) continue;
    const locked: StoredMessage[] = [];
    holder.restore(messagesOf(found, locked), found.lastSequence);
    holder.history.restore(found.seen);
    if (!("sessions" in holder)) continue;
    for (const [sessionId, state] of found.sessionStates) holder.sessions?.restoreState(sessionId, state);
    for (const message of locked) interrupted.push(() => holder.endInterrupted(message));
  }
  for (const topic of namespace.topics.values()) topic.restore([], lastNumberOf(topic, kept));
  // A message may move on to another entity now, which has to know its numbers before.
  for (const end of interrupted) end();
  // So may those that waited, where the configuration has changed.
  for (const queue of namespace.allQueues()) queue.forwardWaiting();
}

/** A topic keeps no messages of its own: the copies tell which numbers it gave. */
function lastNumberOf({ subscriptions }: Topic, kept: Kept): number {
  return Math.max(0, ...[...subscriptions.values()].map(({ queue }) => kept.entities.get(queue.path.toLowerCase())?.lastEnqueued ?? 0));
}

function messagesOf({ messages }: KeptEntity, locked: StoredMessage[]): StoredMessage[] {
  return [...messages.values()]
    .sort((a, b) => a.sequenceNumber - b.sequenceNumber)
    .map((kept) => {
      const message = messageOf(kept);
      if (kept.isLocked) locked.push(message);
      return message;
    });
}

function messageOf(kept: KeptMessage): StoredMessage {
  const message = new StoredMessage(kept, kept.sequenceNumber, kept.enqueuedAtMs);
  const { state, deliveryCount, expiresAtMs, dueAtMs, isInDoubt } = kept;
  return Object.assign(message, { state, deliveryCount, expiresAtMs, dueAtMs, isInDoubt });
}

/** @param given the entities that the broker was given */
export function startKeeping(journal: Journal, namespace: Namespace, given: EntitiesConfig): void {
  journal.start({ entities: () => keepables(namespace), definitions: () => namespace.definitions() }, given);
}

function* keepables(namespace: Namespace): Generator<Keepable> {
  for (const holder of holdersOf(namespace)) {
    const sessions = "sessions" in holder ? holder.sessions : undefined;
    yield {
      path: holder.path,
      lastSequence: holder.lastSequence,
      messages: () => holder.messages(),
      sessionStates: function* (): Generator<readonly [string, Buffer]> {
        for (const { sessionId, state } of sessions?.all() ?? []) if (state !== undefined) yield [sessionId, state];
      },
      seen: () => holder.history.entries(),
    };
  }
}

function holdersOf(namespace: Namespace): (MessageQueue | Topic)[] {
  return [...namespace.allQueues(), ...namespace.topics.values()];
}
