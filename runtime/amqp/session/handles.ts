// The numberings and the names of a session's links (part 2, 2.6.2). As with channels, each side numbers its own half, and
// an attach by the same name in the other role ties the two together. Names are told apart by direction: a sender and a
// receiver may share one. A handle or a name is free again when both ends of its link are over.
import { AttachRequest } from "../link/attach-request.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import type { Link } from "../link/link.ts";
import type { Attach, Role } from "../frame/performatives.ts";

/** The role of our end, by what the peer's is. */
export function oppositeOf(role: Role): Role {
  return role === "sender" ? "receiver" : "sender";
}

function keyOf(role: Role, name: string): string {
  return `${role} ${name}`;
}

export class Handles {
  readonly #own: (Link | undefined)[] = [];
  readonly #remote: (Link | AttachRequest | undefined)[] = [];
  readonly #byName = new Map<string, Link | AttachRequest>();

  /** The lowest handle of ours that is free. */
  get free(): number {
    const index = this.#own.indexOf(undefined);
    return index < 0 ? this.#own.length : index;
  }

  /** What our end, a `role`, of that name is. */
  named(role: Role, name: string): Link | AttachRequest | undefined {
    return this.#byName.get(keyOf(role, name));
  }

  /** Whether the peer uses a handle. */
  isTaken(remoteHandle: number): boolean {
    return this.#remote[remoteHandle] !== undefined;
  }

  /** What the peer numbers so. */
  remote(handle: number): Link | AttachRequest {
    const entry = this.#remote[handle];
    if (entry === undefined) throw new ProtocolError(conditions.unattachedHandle, `expected the handle of an attached link, found ${handle}`, "session");
    return entry;
  }

  /** A link whose attach by us is out. */
  add(link: Link): void {
    this.#own[link.handle] = link;
    this.#byName.set(keyOf(link.role, link.name), link);
  }

  /** An attach of the peer's that is to be answered. */
  addRequest(request: AttachRequest): void {
    const { handle, role, name } = request.attach;
    this.#remote[handle] = request;
    this.#byName.set(keyOf(oppositeOf(role), name), request);
  }

  /** The peer's attach that goes with a link of ours. */
  tie(attach: Attach, link: Link): void {
    this.#remote[attach.handle] = link;
  }

  deleteRequest({ attach }: AttachRequest): void {
    this.#remote[attach.handle] = undefined;
    this.#byName.delete(keyOf(oppositeOf(attach.role), attach.name));
  }

  delete(link: Link): void {
    if (this.#own[link.handle] === link) this.#own[link.handle] = undefined;
    if (link.remoteHandle >= 0 && this.#remote[link.remoteHandle] === link) this.#remote[link.remoteHandle] = undefined;
    const key = keyOf(link.role, link.name);
    if (this.#byName.get(key) === link) this.#byName.delete(key);
  }

  /** Empties everything. Returns the links, and the attaches that wait for an answer. */
  clear(): { readonly links: readonly Link[]; readonly requests: readonly AttachRequest[] } {
    const links = this.#own.filter((link) => link !== undefined);
    const requests = this.#remote.filter((entry) => entry instanceof AttachRequest);
    this.#own.length = 0;
    this.#remote.length = 0;
    this.#byName.clear();
    return { links, requests };
  }
}
