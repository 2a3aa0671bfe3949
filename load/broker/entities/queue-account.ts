// What a queue knows of itself besides its messages: its path, its times, and what ever happened to it.
import type { MessageContent } from "./message.ts";
import { type CountedEvent, countedWords, type Counters, newCounters } from "./counters.ts";
import type { OutcomeLog } from "./outcome-log.ts";

export class QueueAccount {
  readonly path: string;
  readonly counters: Counters = newCounters();
  readonly log: OutcomeLog | undefined;
  readonly createdAtMs: number;
  updatedAtMs: number;
  /** When something was last sent to it, or received from it. */
  accessedAtMs: number;

  constructor(path: string, log: OutcomeLog | undefined, nowMs: number) {
    this.path = path;
    this.log = log;
    this.createdAtMs = this.updatedAtMs = this.accessedAtMs = nowMs;
  }

  protected note(counter: CountedEvent, { messageId }: MessageContent): void {
    this.counters[counter]++;
    this.log?.add(messageId, countedWords[counter]);
  }
}
