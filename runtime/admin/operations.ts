/** What the API can do. openapi.json says how each is called, who may, and what it answers; the names are its `operationId`s. */
import type { Caller } from "./authenticator.ts";

/** Checked against the document before an operation gets it. */
export interface Call {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly ifMatch: string | undefined;
}

export interface Answer {
  /** Default 200. */
  readonly status?: number;
  readonly body: unknown;
  /** Names the state of what was read, for `If-Match`. */
  readonly etag?: string;
  readonly location?: string;
}

/** `before` and `after` are what the audit keeps. */
export interface Changed extends Answer {
  readonly target: string;
  readonly before: unknown;
  readonly after: unknown;
}

export type Operation =
  | { readonly kind: "read"; run(call: Call): Answer | Promise<Answer> }
  /** Its body has a `reason`. */
  | {
      readonly kind: "change";
      run(call: Call): Changed | Promise<Changed>;
      /** Whether it only says what it would do. */
      readonly isDry?: ((call: Call) => boolean) | undefined;
    };

export type Operations = ReadonlyMap<string, Operation>;

export function read(run: (call: Call) => Answer | Promise<Answer>): Operation {
  return { kind: "read", run };
}

export function change(run: (call: Call) => Changed | Promise<Changed>, isDry?: (call: Call) => boolean): Operation {
  return { kind: "change", run, isDry };
}
