/**
 * Whose code is at work outside of runs. A plugin and a configuration are imported under their owner's name, which goes along to
 * every timer, promise and socket that their modules make; so an error that nobody catches can be told from one of the runtime's own.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type CodePlace, placeOf, placeText } from "./code-place.ts";

export interface ModuleOwner {
  /** As errors name it. */
  readonly name: string;
  /** Where the code of its author lies. */
  readonly folder: string;
  /** `file:` URL of the module that was imported. */
  readonly url: string;
}

/** Where something was thrown that nobody caught. */
export interface ModuleOrigin {
  readonly owner: ModuleOwner;
  /** `file:line:column` in the owner's folder; undefined when it is unknown, as of what is no Error. */
  readonly at: string | undefined;
}

const current = new AsyncLocalStorage<ModuleOwner>();
/** All that were imported, by their URLs. */
const known = new Map<string, ModuleOwner>();

/** Runs `work`, and all that it leaves behind, in the name of `owner`. */
export function inNameOf<T>(owner: ModuleOwner, work: () => T): T {
  known.set(owner.url, owner);
  return current.run(owner, work);
}

/** Whose code is at work, outside of runs; undefined for the runtime's own. */
export function ownerAtWork(): ModuleOwner | undefined {
  return current.getStore();
}

/** Whose code threw: that at work, or else the one in whose folder the innermost frame of all lies. Undefined for the runtime's own. */
export function originOf(thrown: unknown): ModuleOrigin | undefined {
  const atWork = current.getStore();
  if (atWork !== undefined) return origin(atWork, placeOf(thrown, atWork.folder));
  // A configuration's folder may hold those of plugins: the longest names the owner.
  const nearest = [...known.values()].toSorted((a, b) => b.folder.length - a.folder.length);
  for (const owner of nearest) {
    const place = placeOf(thrown, owner.folder);
    if (place !== undefined) return origin(owner, place);
  }
  return undefined;
}

function origin(owner: ModuleOwner, place: CodePlace | undefined): ModuleOrigin {
  return { owner, at: place === undefined ? undefined : placeText(place, owner.folder) };
}
