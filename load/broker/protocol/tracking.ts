// The end of whatever is refused, as the real service writes it: an id to ask its support by, where it happened, and when.
import type { WireError } from "./wire.ts";

/** Stands in a description for the host that the client called, which is known where the refusal leaves. */
export const hostMark = "{host}";

export interface Place {
  /** The host that the client called. */
  readonly host: string;
  readonly path: string;
}

export class Tracking {
  readonly #newId: () => string;
  readonly #nowMs: () => number;

  /** @param newId makes UUIDs */
  constructor(newId: () => string, nowMs: () => number) {
    this.#newId = newId;
    this.#nowMs = nowMs;
  }

  /** A refusal as the client gets it. */
  tell({ condition, description }: WireError, place: Place): WireError {
    return { condition, description: this.complete(description, place, condition) };
  }

  /** The text of a refusal with its host and its end. */
  complete(text: string, { host, path }: Place, condition?: string): string {
    const reference = condition === "com.microsoft:message-lock-lost" ? `Reference:${this.#newId()}, ` : "";
    const at = new Date(this.#nowMs()).toISOString().slice(0, 19);
    return `${text.replaceAll(hostMark, host)} ${reference}TrackingId:${this.#newId()}_B0, SystemTracker:${host}:${path}, Timestamp:${at}`;
  }
}
