// Hands an entity's messages to a client, and takes its settlements. Every delivery and every settlement on a link passes
// through `deliver` and `settle` here, which makes this the place to disturb them on purpose.
import { Writer } from "#runtime/amqp/codec/writer.ts";
import { bareOf, writeHead } from "../codec/message.ts";
import type { Consumer } from "../entities/consumers.ts";
import type { StoredMessage } from "../entities/message.ts";
import type { MessageQueue } from "../entities/queue.ts";
import type { SessionConsumer, SessionLock, Sessions } from "../entities/sessions.ts";
import type { Settlement } from "../entities/settlement.ts";
import type { ProtocolContext } from "./context.ts";
import type { Faults } from "./faults.ts";
import { sessionLockLost } from "./refusals.ts";
import { answerOf, deadLetterSettlement } from "./settlements.ts";
import { severLink } from "./sever.ts";
import { type Answer, type Attach, type Outcome, type SendingHandler, type SendingLink, silent } from "./wire.ts";

/** A delivery that the client has not ended yet. */
class Held {
  readonly message: StoredMessage;
  readonly lockId: number;
  constructor(message: StoredMessage, lockId: number) {
    this.message = message;
    this.lockId = lockId;
  }
}

const complete: Settlement = { kind: "complete" };
const release: Settlement = { kind: "release" };

/** The heads of deliveries, one after the other. */
const heads = new Writer();

export function receiveFrom(queue: MessageQueue, attach: Attach, link: SendingLink, context: ProtocolContext): SendingHandler {
  return handlerOf(queue, new EntityReceiver(queue, attach, link, context));
}

function handlerOf(queue: MessageQueue, receiver: EntityReceiver): SendingHandler {
  return {
    onCredit: (credit): void => receiver.grant(credit),
    onOutcome: (held, outcome): Answer => receiver.settle(held as Held, outcome),
    onUnsent: (message): void => queue.takeBack(message as StoredMessage),
    onClosed: (): void => {
      receiver.closed();
      queue.removeConsumer(receiver);
    },
  };
}

/** A receiver of one session, whose lock was just given. */
export function receiveSession(
  queue: MessageQueue,
  sessions: Sessions,
  lock: SessionLock,
  attach: Attach,
  link: SendingLink,
  context: ProtocolContext,
): SendingHandler {
  const receiver = new EntityReceiver(queue, attach, link, context);
  sessions.open(lock, receiver);
  return handlerOf(queue, receiver);
}

class EntityReceiver implements SessionConsumer {
  readonly mode: Consumer["mode"];
  readonly name: string;
  readonly #queue: MessageQueue;
  readonly #link: SendingLink;
  readonly #context: ProtocolContext;
  readonly #stopListening: () => void;
  #credit = 0;

  constructor(queue: MessageQueue, attach: Attach, link: SendingLink, context: ProtocolContext) {
    this.mode = attach.presettled ? "receiveAndDelete" : "peekLock";
    this.name = `${attach.name} of ${attach.connection.name}`;
    this.#queue = queue;
    this.#link = link;
    this.#context = context;
    this.#stopListening = context.faults.onHoldChanged(() => this.grant(this.#credit));
  }

  /** The client takes this many deliveries; none while they are held back. */
  grant(credit: number): void {
    this.#credit = credit;
    this.#queue.setCredit(this, this.#context.faults.holds(this.#queue.path) ? 0 : credit);
  }

  closed(): void {
    this.#stopListening();
  }

  deliver(message: StoredMessage, lockId: number): void {
    this.#credit--;
    const { faults } = this.#context;
    if (faults.any && severLink(this.#queue.path, { link: this.#link, role: "receiver", connection: this.#link.connection }, faults)) return;
    writeHead(heads, message);
    const held = this.mode === "peekLock" ? new Held(message, lockId) : undefined;
    const tag = this.#context.tokens.tagOf(lockId === 0 ? message.sequenceNumber : lockId);
    this.#link.send(tag, [heads.take(), bareOf(message)], held, message);
    if (faults.any && lockId !== 0 && faults.strike("expireLocks", this.#queue.path) !== undefined) this.#expireSoon(lockId);
  }

  /** After this turn: the message is on its way by then. */
  #expireSoon(lockId: number): void {
    this.#context.faults.clock.after(0, () => this.#queue.expireLocksNow((message) => message.lockId === lockId));
  }

  onSessionLost(): void {
    this.#link.close(sessionLockLost);
  }

  settle(held: Held, outcome: Outcome): Answer {
    const { faults } = this.#context;
    return faults.any ? this.#settleWithTrouble(held, outcome, faults) : this.#settle(held, settlementOf(outcome));
  }

  #settle(held: Held, settlement: Settlement): Answer {
    return answerOf(this.#queue.settle(held.message, held.lockId, settlement));
  }

  #settleWithTrouble(held: Held, outcome: Outcome, faults: Faults): Answer {
    const { path } = this.#queue;
    // As if the completion had been confirmed and then lost: the message is redelivered.
    const isForgotten = outcome.kind === "accepted" && faults.strike("deliverTwice", path) !== undefined;
    const answer = this.#settle(held, isForgotten ? { kind: "abandon", properties: undefined } : settlementOf(outcome));
    if (faults.strike("loseSettlements", path) !== undefined) return silent;
    const delayMs = faults.strike("delaySettlements", path);
    if (delayMs === undefined) return answer;
    return { kind: "later", start: (give) => void faults.clock.after(delayMs, () => give(answer)) };
  }
}

function settlementOf(outcome: Outcome): Settlement {
  switch (outcome.kind) {
    case "accepted":
      return complete;
    case "released":
      return release;
    case "modified":
      return { kind: outcome.undeliverableHere ? "defer" : "abandon", properties: outcome.annotations };
    case "rejected":
      return deadLetterSettlement(outcome.info);
  }
}
