// Hands an entity's messages to a client, and takes its settlements. Every delivery and every settlement on a link passes
// through `deliver` and `settle` here, which makes this the place to disturb them on purpose.
import { bareOf, writeHead } from "../codec/message.ts";
import { Writer } from "../codec/writer.ts";
import type { Consumer } from "../entities/consumers.ts";
import type { StoredMessage } from "../entities/message.ts";
import type { MessageQueue } from "../entities/queue.ts";
import type { SessionConsumer, SessionLock, Sessions } from "../entities/sessions.ts";
import type { Settlement } from "../entities/settlement.ts";
import type { ProtocolContext } from "./context.ts";
import { answerOf, deadLetterSettlement, sessionLockLostText } from "./settlements.ts";
import type { Answer, Attach, Outcome, SendingHandler, SendingLink } from "./wire.ts";

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

/** The head of one delivery at a time: it is copied into the output before the next one is written. */
const head = new Writer(1024);

export function receiveFrom(queue: MessageQueue, attach: Attach, link: SendingLink, context: ProtocolContext): SendingHandler {
  return handlerOf(queue, new EntityReceiver(queue, attach, link, context));
}

function handlerOf(queue: MessageQueue, receiver: EntityReceiver): SendingHandler {
  return {
    onCredit: (credit): void => queue.setCredit(receiver, credit),
    onOutcome: (held, outcome): Answer => receiver.settle(held as Held, outcome),
    onClosed: (): void => queue.removeConsumer(receiver),
  };
}

/** A receiver of one session, whose lock was just given. */
export function receiveSession(queue: MessageQueue, sessions: Sessions, lock: SessionLock, attach: Attach, link: SendingLink, context: ProtocolContext): SendingHandler {
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

  constructor(queue: MessageQueue, attach: Attach, link: SendingLink, context: ProtocolContext) {
    this.mode = attach.presettled ? "receiveAndDelete" : "peekLock";
    this.name = `${attach.name} of ${attach.connection.name}`;
    this.#queue = queue;
    this.#link = link;
    this.#context = context;
  }

  deliver(message: StoredMessage, lockId: number): void {
    head.reset();
    writeHead(head, message);
    const held = this.mode === "peekLock" ? new Held(message, lockId) : undefined;
    const tag = this.#context.tokens.tagOf(lockId === 0 ? message.sequenceNumber : lockId);
    this.#link.send(tag, [head.take(), bareOf(message)], held);
  }

  onSessionLost(): void {
    this.#link.close({ condition: "com.microsoft:session-lock-lost", description: sessionLockLostText });
  }

  settle(held: Held, outcome: Outcome): Answer {
    return answerOf(this.#queue.settle(held.message, held.lockId, settlementOf(outcome)));
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
