/** Events of every kind at a steady pace. What the broker does not confirm is sent once more, under the same ids. */
import { setTimeout as pause } from "node:timers/promises";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { eventMessage } from "../effects/event-message.ts";
import type { SentEvent } from "../effects/judge.ts";
import type { Kind } from "../effects/plugin.ts";

const tickMs = 50;
const resendAfterMs = 200;
const duplicates = 0.05;
/** One that comes while its event is in a worker's hands waits for the end of that claim; most of these come later. */
const duplicateAfterMs = 1_000;
/** Of events, by kind; the rest are keyed. */
const shares: readonly (readonly [Kind, number])[] = [
  ["Queryable", 0.2],
  ["AtMostOnce", 0.1],
  ["Saga", 0.1],
  ["Mistaken", 0.03],
];

export interface LoadOptions {
  readonly publisher: Publisher;
  readonly queue: string;
  readonly perSecond: number;
  readonly random: () => number;
}

export class Load {
  readonly #options: LoadOptions;
  readonly events: SentEvent[] = [];
  readonly #pending: OutgoingMessage[] = [];
  readonly #duplicates: { readonly dueMs: number; readonly message: OutgoingMessage }[] = [];
  #isOver = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  start(): void {
    this.#sending = this.#run();
  }

  /** Resolves when the broker has confirmed everything. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#sending;
  }

  /** One event more. */
  add(kind: Kind, payload: Readonly<Record<string, unknown>> = {}, orEnds: readonly string[] = []): string {
    const eventId = `${kind.toLowerCase()}-${this.events.length}`;
    this.events.push({ eventId, kind, orEnds });
    this.#pending.push(eventMessage(eventId, kind, payload));
    return eventId;
  }

  async #run(): Promise<void> {
    const { perSecond, random } = this.#options;
    const startMs = performance.now();
    let made = 0;
    while (!this.#isOver || this.#pending.length > 0) {
      const due = this.#isOver ? made : Math.floor(((performance.now() - startMs) * perSecond) / 1_000);
      for (; made < due; made += 1) {
        const kind = this.#drawKind();
        this.add(kind);
        // After a loss of records, nobody can tell a late duplicate of an effect that happened from an event that never ran.
        const last = this.#pending.at(-1);
        if (kind !== "Keyed" || last === undefined || random() >= duplicates) continue;
        this.#duplicates.push({ dueMs: performance.now() + duplicateAfterMs, message: { ...last, messageId: `${last.messageId}-again` } });
      }
      for (let next = this.#duplicates[0]; next !== undefined && next.dueMs <= performance.now(); next = this.#duplicates[0]) {
        this.#duplicates.shift();
        this.#pending.push(next.message);
      }
      await this.#send();
      await pause(tickMs);
    }
  }

  #drawKind(): Kind {
    let left = this.#options.random();
    for (const [kind, share] of shares) {
      if (left < share) return kind;
      left -= share;
    }
    return "Keyed";
  }

  async #send(): Promise<void> {
    const { publisher, queue } = this.#options;
    const messages = this.#pending.slice(0, 200);
    if (messages.length === 0) return;
    try {
      await publisher.send(queue, messages);
      this.#pending.splice(0, messages.length);
    } catch {
      await pause(resendAfterMs);
    }
  }
}
