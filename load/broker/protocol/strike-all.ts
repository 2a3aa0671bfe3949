// Faults that happen at once and to everything at their target.
import type { Namespace } from "../entities/namespace.ts";
import type { FaultKind } from "./faults.ts";
import type { OpenLinks } from "./open-links.ts";
import { detachForced } from "./refusals.ts";

/** Returns how many links, connections or locks were hit. */
export function strikeAll(kind: FaultKind, matches: (path: string) => boolean, namespace: Namespace, links: OpenLinks): number {
  if (kind === "detach")
    return links.close(
      ({ path }) => matches(path),
      ({ name, role }) => detachForced(name, role),
    );
  if (kind === "drop") {
    const connections = new Set([...links].filter(({ path }) => matches(path)).map(({ connection }) => connection));
    for (const connection of connections) connection.cut();
    return connections.size;
  }
  let expired = 0;
  for (const queue of namespace.messageQueues()) if (matches(queue.path)) expired += queue.expireLocksNow(() => true);
  return expired;
}
