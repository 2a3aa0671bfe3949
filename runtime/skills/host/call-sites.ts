/**
 * Where a skill's code begins its steps and replies, for failures whose own stack no longer leads there. A stack costs as much as a small step:
 * it is taken the first time that something of a name is begun, and kept as plain numbers, which hold no run.
 */
import { findSourceMap } from "node:module";
import { type CallSiteObject, getCallSites } from "node:util";
import type { FailureRecord } from "../../core/outcome.ts";
import type { ChainStep } from "../author/step-chain.ts";
import { placeInStack, placeText } from "./code-place.ts";

/** Names whose place is kept of a skill, the first ones: there is no end of names that are made of an event's data. */
export const callSitesMax = 256;
/** Between the runtime and the plugin's own code may be helpers of packages. */
const framesMax = 16;
const foundAfterwards: ReadonlySet<string> = new Set(["STEP_NOT_AWAITED", "REPLY_NOT_AWAITED"]);
/** No step has such a name. */
export const replySite = " reply";

export class CallSites {
  readonly #sites: Map<string, readonly CallSiteObject[]>;

  /** `chain`: steps that the skill's definition names. */
  constructor(chain: readonly Pick<ChainStep, "name" | "sites">[]) {
    this.#sites = new Map(chain.map(({ name, sites }) => [name, sites]));
  }

  /** Something of that name is about to begin; called in the call itself. */
  note(name: string): void {
    if (this.#sites.has(name) || this.#sites.size >= callSitesMax) return;
    this.#sites.set(name, getCallSites(framesMax));
  }

  /** The failure with the place of its step, or of the reply that it is about, where its own stack does not lead there. */
  complete({ at: own, ...failure }: FailureRecord, folder: string | undefined): FailureRecord {
    const name = failure.code.startsWith("REPLY_") ? replySite : failure.step;
    // What is found out after the skill has returned has a stack of whoever found out.
    const thrownAt = foundAfterwards.has(failure.code) ? undefined : own;
    const at = thrownAt ?? (name === undefined || folder === undefined ? undefined : this.#textOf(name, folder));
    return at === undefined ? failure : { ...failure, at };
  }

  /** `file:line:column` of the innermost frame in `folder`, source-mapped where there is a map; undefined where it is not known. */
  #textOf(name: string, folder: string): string | undefined {
    const sites = this.#sites.get(name);
    const place = sites === undefined ? undefined : placeInStack(sites.map(frameOf).join("\n"), folder);
    return place === undefined ? undefined : placeText(place, folder);
  }
}

/** As a line of a stack. */
function frameOf({ scriptName, lineNumber, columnNumber }: CallSiteObject): string {
  const origin = findSourceMap(scriptName)?.findOrigin(lineNumber, columnNumber);
  return origin !== undefined && "fileName" in origin
    ? `    at ${origin.fileName}:${origin.lineNumber}:${origin.columnNumber}`
    : `    at ${scriptName}:${lineNumber}:${columnNumber}`;
}
