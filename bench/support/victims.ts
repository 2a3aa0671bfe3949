/** What of an arena a plan of faults can hurt. */
import type { Victims } from "#load/faults/plan.ts";
import { calmBehaviour } from "#load/stand-ins/behaviour.ts";
import type { DependencyName } from "../peers/handlers.ts";
import type { Arena } from "./arena.ts";
import type { Subject } from "./open-loop.ts";
import type { Proxied } from "./proxies.ts";

export function victimsOf(arena: Arena, subject: Subject, proxies: Readonly<Record<string, Proxied>> = {}): Victims {
  const { peer } = arena.broker;
  const controlOf = (name: string) => {
    const dependency = arena.dependencies?.[name as DependencyName];
    if (dependency === undefined) throw new Error(`expected a dependency out of ${Object.keys(arena.dependencies ?? {}).join(", ")}, the plan names ${name}`);
    return dependency.control;
  };
  return {
    proxies: new Map(Object.entries(proxies)),
    broker: {
      add: (fault) => peer.call("addFault", fault),
      remove: async (id) => void (await peer.call("removeFault", id)),
    },
    processes: new Map([["worker", subject]]),
    dependencies: {
      behave: async (name, behaviour) => void (await controlOf(name).behave({ target: "notifier", ...behaviour })),
      calm: async (name) => void (await controlOf(name).behave({ target: "notifier", ...calmBehaviour, latencyMs: calmMs })),
    },
  };
}

/** What a sound dependency takes to answer. */
export const calmMs = 2;
