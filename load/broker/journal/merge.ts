// Which entities a broker starts with that has a past: those that were there when it ended, unless its configuration was
// changed in between. So what was made, changed or deleted while it ran stays so, and an edit of the file counts.
import { isDeepStrictEqual } from "node:util";
import type { EntitiesConfig, TopicConfig } from "../entities/entities-config.ts";
import type { KeptDefinitions } from "./kept.ts";

interface Named {
  readonly name: string;
}

export function mergeEntities(given: EntitiesConfig, kept: KeptDefinitions | undefined): EntitiesConfig {
  if (kept === undefined) return given;
  const queues = merge(given.queues, kept.given.queues, kept.entities.queues);
  const topics = merge(given.topics.map(withoutSubscriptions), kept.given.topics.map(withoutSubscriptions), kept.entities.topics.map(withoutSubscriptions));
  const subscriptionsOf = ({ topics: all }: EntitiesConfig, name: string): TopicConfig["subscriptions"] => all.find(isNamed(name))?.subscriptions ?? [];
  const names = new Set([...given.queues, ...given.topics].map(nameOf));
  const isNew = (name: string, others: readonly Named[]): boolean => !names.has(name) || others.some(isNamed(name));
  return {
    // A name that the configuration now gives to another kind of entity is that.
    queues: queues.filter((queue) => isNew(nameOf(queue), given.queues)),
    topics: topics
      .filter((topic) => isNew(nameOf(topic), given.topics))
      .map((topic) => ({
        ...topic,
        subscriptions: merge(subscriptionsOf(given, topic.name), subscriptionsOf(kept.given, topic.name), subscriptionsOf(kept.entities, topic.name)),
      })),
  };
}

/** @param before what was given at the last start */
function merge<T extends Named>(given: readonly T[], before: readonly T[], kept: readonly T[]): T[] {
  const merged: T[] = [];
  for (const entity of given) {
    const isSame = isDeepStrictEqual(before.find(isNamed(entity.name)), entity);
    const found = kept.find(isNamed(entity.name));
    if (!isSame) merged.push(entity);
    else if (found !== undefined) merged.push(found);
  }
  for (const entity of kept) if (!given.some(isNamed(entity.name))) merged.push(entity);
  return merged;
}

function withoutSubscriptions(topic: TopicConfig): TopicConfig {
  return { ...topic, subscriptions: [] };
}

function nameOf({ name }: Named): string {
  return name.toLowerCase();
}

function isNamed(name: string): (entity: Named) => boolean {
  const wanted = name.toLowerCase();
  return (entity) => nameOf(entity) === wanted;
}
