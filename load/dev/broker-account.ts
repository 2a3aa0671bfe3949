/** What the broker says of the entity the worker reads: the judge of every summary. */
import { fetchAgain } from "../broker/control/read.ts";
import type { BrokerInspection, MessagePage } from "../broker/inspection.ts";

export interface BrokerAccount {
  /** Messages that senders sent, duplicates included, scheduled copies not. */
  readonly accepted: number;
  /** Scheduled copies that the worker made of messages. */
  readonly copies: number;
  /** Completions that were final: those of originals that live on as copies are not counted. */
  readonly completed: number;
  readonly deadLettered: number;
  /** Messages that wait for the worker or are in its hands; not those that come later. */
  readonly ready: number;
  /** Messages still there, in any state. */
  readonly queued: number;
  /** Of these, messages that come only when they are due: copies that wait for a retry, or for room. */
  readonly dueLater: number;
  readonly expiredLocks: number;
}

type Counts = Pick<BrokerAccount, "accepted" | "copies" | "completed" | "deadLettered" | "expiredLocks">;

const none: Counts = { accepted: 0, copies: 0, completed: 0, deadLettered: 0, expiredLocks: 0 };

export class BrokerControl {
  readonly #url: string;
  readonly #queue: string;
  #before: Counts = none;

  constructor(controlPort: number, queue: string) {
    this.#url = `http://127.0.0.1:${controlPort}`;
    this.#queue = queue;
  }

  /** What was counted so far is left out from here on. */
  async begin(): Promise<void> {
    this.#before = none;
    this.#before = await this.account();
  }

  async account(): Promise<BrokerAccount> {
    const before = this.#before;
    const inspection = await this.#get<BrokerInspection>("/inspect");
    const queue = Object.values(inspection.queues).find((candidate) => candidate.path === this.#queue);
    if (queue === undefined) throw new Error(`expected the broker to have the queue ${this.#queue}, found ${Object.keys(inspection.queues).join(", ")}`);
    const { totals, states } = queue;
    return {
      accepted: totals.accepted - before.accepted,
      copies: totals.scheduledAccepted - before.copies,
      completed: totals.completed - totals.scheduledAccepted - before.completed,
      deadLettered: totals.deadLettered - before.deadLettered,
      ready: states.active + states.locked,
      queued: states.active + states.locked + states.scheduled + states.deferred,
      dueLater: states.scheduled,
      expiredLocks: totals.expiredLocks - before.expiredLocks,
    };
  }

  /** Every message of the dead-letter sub-queue, oldest first. */
  deadLetters(): AsyncGenerator<MessagePage["messages"][number]> {
    return this.#messages(`${this.#queue}/$DeadLetterQueue`);
  }

  /** Every message that is in the queue, in any state, oldest first. */
  waiting(): AsyncGenerator<MessagePage["messages"][number]> {
    return this.#messages(this.#queue);
  }

  async *#messages(entity: string): AsyncGenerator<MessagePage["messages"][number]> {
    const path = encodeURIComponent(entity);
    for (let from: number | null = 0; from !== null;) {
      const page: MessagePage = await this.#get<MessagePage>(`/inspect/${path}/messages?from=${from}&top=1000`);
      yield* page.messages;
      from = page.next;
    }
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetchAgain(`${this.#url}${path}`);
    if (!response.ok) throw new Error(`expected the broker to answer ${path}, got ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  }
}
