/** The places that a worker reads, with what each has of its own: a link of the shared connection, and its records in the shared store. */
import { systemClock } from "../adapters/system/clock.ts";
import type { Config } from "../core/config.ts";
import { consumerName, retryEntityOf, type SourceSettings } from "../core/config/sources.ts";
import type { RuntimeEvent } from "../core/catalogue.ts";
import type { CredentialNews } from "../core/credential-news.ts";
import { probeSkill } from "../core/probe.ts";
import type { SkillTable } from "../core/skill.ts";
import type { SourceOptions } from "../pipeline/source.ts";
import type { PoolBoard } from "../ports/pool-board.ts";
import { StoreDoubt } from "../policy/store-doubt.ts";
import { composeTransports, transportOf } from "./broker.ts";
import { composeRunStores, type OneStore, suspectMsOf } from "./store.ts";

export interface ComposedSource extends SourceOptions {
  readonly store: OneStore;
}

export interface SourceParts {
  readonly skills: SkillTable;
  readonly heard: (news: CredentialNews) => void;
  readonly tell: (event: RuntimeEvent) => void;
}

export interface ComposedSources {
  /** In the order of the configuration. */
  readonly sources: readonly ComposedSource[];
  readonly board: PoolBoard;
}

/** Nothing is connected. */
export async function composeSources(config: Config, directory: string, { skills, heard, tell }: SourceParts): Promise<ComposedSources> {
  const doubts = new Map(config.sources.map((source) => [source, new StoreDoubt({ clock: systemClock, windowMs: suspectMsOf(config), tell })]));
  const { stores, board } = composeRunStores(
    config,
    directory,
    (source) => ({ onForgotten: (what) => tell({ type: "store.forgot", what }), onSuspect: (suspicion) => doubts.get(source)?.lost(suspicion) }),
    heard,
  );
  const make = await composeTransports(config, heard);
  const sources = Array.from(doubts, ([source, storeDoubt], index): ComposedSource => {
    const store = stores[index];
    if (store === undefined) throw new RangeError(`expected ${doubts.size} stores, got ${stores.length}`);
    return {
      name: source.name,
      consumer: consumerName(source),
      transport: transportOf(source, make),
      store,
      storeDoubt,
      retryEntity: retryEntityOf(source),
      skills: skillsOf(source, skills),
      weight: source.weight ?? 1,
      priority: source.priority ?? 0,
      deliveriesMax: source.deliveriesMax ?? config.deliveriesMax,
      sessions: source.sessions,
      readsBesideSessions: "topic" in source,
    };
  });
  return { sources, board };
}

/** What may come from the source. */
export function skillsOf({ skills: allowed }: Pick<SourceSettings, "skills">, table: SkillTable): SkillTable {
  if (allowed === undefined) return table;
  return {
    handled: table.handled,
    policies: table.policies.filter((policy) => allowed.includes(policy.name)),
    find: (eventType, version) => {
      const found = table.find(eventType, version);
      return typeof found === "string" || allowed.includes(found.name) || found.name === probeSkill ? found : "unrouted";
    },
  };
}
