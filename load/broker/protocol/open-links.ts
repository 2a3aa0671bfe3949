// All links to entities that are open now, so that they can be closed from outside: when an entity goes, or on purpose.
import { belongsTo } from "../entities/belonging.ts";
import { entityNotFound } from "./refusals.ts";
import type { WireConnection, WireError } from "./wire.ts";

export interface OpenLink {
  readonly name: string;
  /** The entity's path. */
  readonly path: string;
  /** What the client does on it. */
  readonly role: "sender" | "receiver";
  readonly connection: WireConnection;
  close(error: WireError): void;
}

export class OpenLinks {
  readonly #links = new Set<OpenLink>();

  add(link: OpenLink): void {
    this.#links.add(link);
  }

  remove(link: OpenLink): void {
    this.#links.delete(link);
  }

  /** Closes the links that `wanted` picks. Returns how many. */
  close(wanted: (link: OpenLink) => boolean, errorOf: (link: OpenLink) => WireError): number {
    const picked = [...this.#links].filter(wanted);
    for (const link of picked) link.close(errorOf(link));
    return picked.length;
  }

  /** Closes the links of an entity that is gone, with all that belonged to it. */
  closeGone(gone: string): void {
    this.close(
      ({ path }) => belongsTo(path, gone),
      () => entityNotFound(gone),
    );
  }

  [Symbol.iterator](): IterableIterator<OpenLink> {
    return this.#links.values();
  }
}
