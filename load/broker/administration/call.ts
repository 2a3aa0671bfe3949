// A request of the administration API, and its answer.
import type { Namespace } from "../entities/namespace.ts";
import type { OpenLinks } from "../protocol/open-links.ts";
import type { Tracking } from "../protocol/tracking.ts";
import type { TokenVerifier } from "../security/tokens.ts";
import { type Description, entryXml, errorXml, tagOf } from "./atom.ts";

export interface AdministrationContext {
  readonly namespace: Namespace;
  readonly links: OpenLinks;
  readonly verifier: TokenVerifier;
  readonly tracking: Tracking;
  /** Which entities or rules there are has changed; `gone` = the path of one that was deleted. */
  readonly onChange: (gone: string | undefined) => void;
}

export interface Call {
  readonly method: string;
  /** Decoded, without slashes around it. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
  readonly ifMatch: string | undefined;
  readonly body: string;
  /** The scheme and host that the client called. */
  readonly base: string;
}

export interface Answer {
  readonly status: number;
  /** The version of the entity that it describes. */
  readonly tag?: string;
  /** Undefined = nothing was found wrong. */
  readonly refusal?: string;
  readonly body: string;
}

/** The host that the client called, with its port where that was named. Nobody has checked it. */
export function hostOf(base: string): string {
  return base.replace(/^https?:\/\//, "");
}

export function entry(call: Call, description: Description, status = 200): Answer {
  return { status, tag: tagOf(description), body: entryXml(call.base, description) };
}

export function refuse(status: number, refusal: string): Answer {
  return { status, refusal, body: "" };
}

/** An answer as it goes out: a refusal ends as those of the real service do. */
export function complete({ tracking }: AdministrationContext, { base, path }: Call, answer: Answer): Answer {
  const { status, refusal } = answer;
  if (refusal === undefined) return answer;
  return {
    status,
    body: errorXml(
      status,
      tracking.complete(`${refusal} To know more visit https://aka.ms/sbResourceMgrExceptions. `, { host: hostOf(base).replace(/:\d+$/, ""), path }),
    ),
  };
}

/** Whether a change is meant for the version that is there: any, or the one it names. */
export function isMeantFor({ ifMatch }: Call, description: Description): boolean {
  return ifMatch === undefined || ifMatch.split(",").some((tag) => tag.trim() === "*" || tag.trim() === tagOf(description));
}

export function otherVersion({ path }: Call): Answer {
  return refuse(412, `SubCode=41200. Precondition Failed. '${path}' is there in another version than the one that If-Match names.`);
}

export function notFound(call: Call): Answer {
  return refuse(404, `SubCode=40400. Not Found. Entity '${call.path}' was not found.`);
}
