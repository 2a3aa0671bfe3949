/**
 * Acts on what was decided, in the one order that loses nothing:
 *
 *   success:  done + outbox (one write) → the session's state → publish → clear the outbox → complete
 *   failure:  record → (schedule a copy →) complete | dead-letter | release | abandon
 *
 * A step that fails leaves the message unsettled or hands it back, so that its redelivery finishes what is left; a step that
 * was done and whose answer was lost is absorbed by the done mark, the epoch or the derived message id.
 */
import type { Clock, Random } from "../core/clock.ts";
import type { Verdict } from "../core/compensation.ts";
import { copyOf, expiresAtMs } from "../core/copy.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { messageOf } from "../core/errors.ts";
import { unguessableId } from "../core/message-ids.ts";
import { type LeftState, decodeLeftState, decodeOutbox, encodeOutbox } from "../core/outbox.ts";
import { deadSessionHeader, headersOfDeath } from "../core/death.ts";
import { isProbe } from "../core/probe.ts";
import { redact } from "../core/redact.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Settlement } from "../core/settlement.ts";
import { postponeDelayMs } from "../policy/backoff.ts";
import type { BrokerClock } from "../policy/broker-clock.ts";
import { abandonCompensating } from "../policy/saga.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { FailWrite, FinishWrite, WriteResult } from "../ports/run-store.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import type { SettleOrder, SettleResult } from "../ports/transport.ts";
import { deathOf, type GivenUp } from "./deaths.ts";
import { eachAlone } from "./each-alone.ts";
import { expired, handedOver, publishFailedText, type PublishFailure, type TooLate, unpublished } from "./endings.ts";
import { GroupCommit, groupItemsMax } from "./group-commit.ts";
import type { HandOver } from "./hand-over.ts";
import type { Sagas } from "./sagas.ts";
import { Sending, type Unsent } from "./sending.ts";
import { type Failure, failWrite, waitsFor } from "./setbacks.ts";
import type { Source } from "./source.ts";
import type { StoreGate } from "./store-gate.ts";
import { TickBatch } from "./tick-batch.ts";
import type { Traces } from "./traces.ts";
import type { Work } from "./work.ts";

type Copied = Extract<Settlement, { kind: "retry-later" | "postpone" }>;

/** After every attempt to publish has failed, the message is not looked at again for this long. */
const publishPauseMinMs = 5_000;
/** Copies are due later than this anyway; those that come within it go out together, and the fewer calls there are, the less each costs. */
const copiesEveryMs = 5;
/** The same of messages that are left to others, which come one by one between those that begin: none is due sooner than in half a second. */
const leftEveryMs = 20;

export interface SettlerOptions {
  readonly workerId: string;
  readonly source: Source;
  readonly publisher: Publisher;
  readonly gate: StoreGate;
  readonly clock: Clock;
  readonly brokerClock: BrokerClock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Undefined when nothing is traced. */
  readonly traces?: Traces | undefined;
  /** Resolves, soon, when the escalations of the dead letter that was emitted last are durable; undefined where it has none. */
  readonly escalated?: (() => Promise<void> | undefined) | undefined;
  /** Where an emitted event of this type is sent; throws when that is not configured. */
  entityFor(eventType: string): string;
  /** Takes over what fails for good and is to be compensated first. */
  readonly sagas: Sagas;
  /** Takes over compensations that their message does not outlast. */
  readonly handOver: HandOver;
  /** No copy of it can be sent now: it is kept here as long as the copy would have waited, then claimed again. */
  waitHere(work: Work, delayMs: number): void;
  /** The delivery has ended. Called exactly once for each. */
  ended(work: Work, outcome: FinalOutcome): void;
}

interface Finish {
  readonly work: Work;
  readonly outbox: readonly OutgoingMessage[];
  readonly left: LeftState | undefined;
  readonly write: FinishWrite;
}

interface Leaving {
  readonly outbox: readonly OutgoingMessage[];
  readonly left: LeftState | undefined;
  readonly outcome: FinalOutcome;
}

interface Failed {
  readonly work: Work;
  readonly settlement: Failure;
  readonly write: FailWrite;
}

interface Copy {
  readonly work: Work;
  readonly settlement: Copied;
  readonly copy: OutgoingMessage;
}

interface Publish {
  readonly work: Work;
  readonly outbox: readonly OutgoingMessage[];
  /** Where each goes, in their order. */
  readonly entities: readonly string[];
  readonly outcome: FinalOutcome;
}

interface Order {
  readonly work: Work;
  readonly order: SettleOrder;
  readonly outcome: FinalOutcome;
}

export class Settler {
  readonly #options: SettlerOptions;
  readonly #sending: Sending;
  readonly #finishes: GroupCommit<Finish, readonly WriteResult[]>;
  readonly #failures: GroupCommit<Failed, readonly WriteResult[]>;
  readonly #clears: GroupCommit<Publish, void>;
  readonly #publishes: TickBatch<Publish>;
  readonly #copies: TickBatch<Copy>;
  readonly #left: TickBatch<Copy>;
  readonly #orders: TickBatch<Order>;
  #isDraining = false;
  #unreturned: FailWrite[] = [];
  #secret = "";

  constructor(options: SettlerOptions) {
    const { clock, gate, publisher, source } = options;
    const { store } = source;
    this.#options = options;
    gate.onReopened(() => this.#returnClaims());
    this.#sending = new Sending(publisher, clock, (entity, messages, error) =>
      options.telemetry.emit({ type: "send.failed", entity, messages, error: messageOf(error) }),
    );
    const commit = { clock, gate, callsMax: store.callsAtOnce };
    this.#finishes = new GroupCommit({
      ...commit,
      write: (items) => store.finish(items.map((item) => item.write)),
      written: (items, results) => eachAlone(items, (item, index) => this.#finished(item, results[index] ?? "stale"), this.#brokenItem),
      abandoned: (items, why) => items.forEach(({ work }) => this.handBack(work, why)),
    });
    this.#failures = new GroupCommit({
      ...commit,
      write: (items) => store.fail(items.map((item) => item.write)),
      written: (items, results) => eachAlone(items, (item, index) => this.#recorded(item, results[index] ?? "stale"), this.#brokenItem),
      abandoned: (items, why) => items.forEach(({ work }) => this.handBack(work, why)),
    });
    this.#clears = new GroupCommit({
      ...commit,
      write: (items) => store.clearOutbox(items.map((item) => item.work.eventId)),
      written: (items) => eachAlone(items, ({ work, outcome }) => this.#complete(work, outcome), this.#brokenItem),
      abandoned: (items) => eachAlone(items, ({ work, outcome }) => this.#complete(work, outcome), this.#brokenItem),
    });
    this.#publishes = new TickBatch(clock, (items) => void this.#publish(items));
    this.#copies = new TickBatch(clock, (items) => void this.#sendCopies(items), copiesEveryMs);
    this.#left = new TickBatch(clock, (items) => void this.#sendCopies(items), leftEveryMs);
    this.#orders = new TickBatch(clock, (items) => void this.#settle(items));
  }

  /** Before anything else. `secret` is what the ids of copies and emitted events are made with; see message-ids.ts. */
  start(secret: string): void {
    this.#secret = secret;
  }

  /** The run succeeded under its claim. */
  succeed(work: Work, { outbox: emitted, sessionState, steps }: Omit<Extract<Outcome, { kind: "succeeded" }>, "kind">): void {
    const outbox = emitted.length === 0 ? emitted : this.#named(emitted);
    const left = sessionState === undefined || work.turn === undefined ? undefined : { state: sessionState, sequenceNumber: work.delivery.sequenceNumber };
    const write = { eventId: work.eventId, epoch: work.epoch, outbox: work.holdsOutbox(encodeOutbox(outbox, left)), steps };
    if (steps !== undefined) work.holdsSteps(steps);
    work.stage = "recording";
    this.#finishes.add({ work, outbox, left, write });
  }

  #named(emitted: readonly OutgoingMessage[]): readonly OutgoingMessage[] {
    return emitted.map((message) => ({ ...message, messageId: unguessableId(this.#secret, message.messageId, "emitted") }));
  }

  /** The run had been done before: publish what is left, then complete. */
  absorb(work: Work, outbox: Uint8Array): void {
    if (outbox.length === 0) return this.#complete(work, "duplicate");
    let messages: readonly OutgoingMessage[];
    let left: LeftState | undefined;
    try {
      messages = decodeOutbox(outbox);
      left = decodeLeftState(outbox);
    } catch (error) {
      const description = `expected the outbox of a run that is done to be readable, found other bytes: ${messageOf(error, 200)}`;
      return this.#giveUp(work, unpublished("OutboxUnreadable", description));
    }
    const isItsOwn = work.turn !== undefined && left?.sequenceNumber === work.delivery.sequenceNumber;
    this.#leave(work, { outbox: messages, left: isItsOwn ? left : undefined, outcome: "duplicate" });
  }

  /** What the run leaves behind goes out, its session's state first: nothing else of the session begins before that. */
  #leave(work: Work, leaving: Leaving): void {
    const { outbox, left, outcome } = leaving;
    if (left !== undefined) this.#leaveState(work, left, leaving).catch((error: unknown) => this.broken(work, error));
    else if (outbox.length > 0) this.#publishLater(work, outbox, outcome);
    else this.#complete(work, outcome);
  }

  async #leaveState(work: Work, { state }: LeftState, { outbox, outcome }: Leaving): Promise<void> {
    work.stage = "recording";
    let result: SettleResult | undefined;
    try {
      result = await work.turn?.writeState(state);
    } catch (error) {
      return this.#giveUp(work, unpublished("SessionStateRefused", messageOf(error)));
    }
    // Its next delivery finds it done, and writes the same.
    if (result === "lock-lost") this.#end(work, "dropped");
    else if (result !== "settled") this.#order(work, { verb: "release", delivery: work.delivery }, "released");
    else if (outbox.length > 0) this.#publishLater(work, outbox, outcome);
    else this.#clears.add({ work, outbox, entities: [], outcome });
  }

  /** The run ends without success; `decided` says how. Records it first when the run is claimed. */
  fail(work: Work, decided: Failure): void {
    work.stage = "recording";
    const late = this.#tooLate(work, decided);
    if (late !== undefined && work.verdict !== undefined) return this.#leaveCompensating(work, work.verdict, late);
    const settlement = late === undefined ? decided : expired(late);
    if (settlement.kind === "dead-letter" && this.#options.sagas.takes(work, settlement)) return;
    this.#record(work, settlement);
  }

  /** The recovery queue continues, where there is one and it answers; else nobody compensates what is left. */
  #leaveCompensating(work: Work, verdict: Verdict, late: TooLate): void {
    const kept = this.#options.handOver.keep(work) ?? Promise.resolve(false);
    kept
      .then((isKept) => this.#record(work, isKept ? handedOver(verdict, late) : abandonCompensating(verdict, late.description)))
      .catch((error: unknown) => this.broken(work, error));
  }

  #record(work: Work, settlement: Failure): void {
    if (work.epoch === 0) return this.#act(work, settlement);
    if (settlement.kind === "dead-letter") work.death = deathOf(work, settlement, this.#options.brokerClock);
    this.#failures.add({ work, settlement, write: failWrite(work, settlement, this.#options.workerId) });
  }

  /** What would expire before its copy is due ends now: the broker would drop it then without saying why. */
  #tooLate(work: Work, settlement: Failure): TooLate | undefined {
    if (settlement.kind !== "retry-later" && settlement.kind !== "postpone") return undefined;
    const leftMs = expiresAtMs(work.delivery) - this.#options.brokerClock.nowMs();
    if (leftMs > settlement.delayMs) return undefined;
    const why = settlement.kind === "postpone" ? settlement.why : `${settlement.code}: ${settlement.description}`;
    const description = `expected the message to live until its next try in ${Math.ceil(settlement.delayMs)} ms, found that its time-to-live ends in ${Math.ceil(leftMs)} ms; raise it, or shorten the skill's pauses; it would have been retried because of ${why}`;
    return { why, description };
  }

  /** Nothing of it has started here: it is returned to the queue, for any worker. */
  release(work: Work): void {
    this.fail(work, { kind: "release" });
  }

  /** The worker takes no more messages: what is returned from now on is for other workers. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Ends every pause between two attempts to send. */
  stop(): void {
    this.#sending.stop();
    this.#copies.stop();
    this.#left.stop();
  }

  /** Returns a message to the queue without asking the store. A claim in a part of the store that is down ends with its lease. */
  handBack(work: Work, why: "down" | "refused" = "refused"): void {
    const { hasGivenUp } = this.#options.gate;
    if (hasGivenUp && work.epoch > 0) this.#unreturned.push(failWrite(work, { kind: "release" }, this.#options.workerId));
    this.#return(work, hasGivenUp || why === "down");
  }

  /** Releases the claims that could not be released while the store was down, so that it does not count their workers as dead. */
  #returnClaims(): void {
    const writes = this.#unreturned.splice(0);
    for (let at = 0; at < writes.length; at += groupItemsMax) {
      // A store that fails again counts them as lost; losses are bounded.
      this.#options.source.store.fail(writes.slice(at, at + groupItemsMax)).catch(() => undefined);
    }
  }

  /**
   * Returns a message to the queue. No delivery is counted when the message is certainly not the cause: when the worker stops,
   * whether its run had started or not, because another worker takes it; and when nothing of it has started here and what prevents
   * that is a store that is down, during which nothing is received, or a place in a lane that was free too late. In every other case
   * (the store or the broker refuses what belongs to it, or its run has taken effect and cannot be recorded) the same could
   * happen again at once and for ever, so it counts as a delivery: the entity's maximum ends it.
   */
  #return(work: Work, isBlameless: boolean): void {
    const isFree = this.#isDraining || (isBlameless && work.executions === 0);
    this.#order(work, { verb: isFree ? "release" : "abandon", delivery: work.delivery }, "released");
  }

  /** Handling it failed while others of its group went on: it alone is returned to the queue. */
  broken(work: Work, error: unknown): void {
    this.tellBroken(work, error);
    if (work.stage !== "settling" && work.stage !== "gone") this.handBack(work);
  }

  tellBroken(work: Work, error: unknown): void {
    this.#options.telemetry.emit({ type: "message.broken", eventId: work.eventId, stage: work.stage, error: messageOf(error) }, work);
  }

  readonly #brokenItem = ({ work }: { readonly work: Work }, error: unknown): void => this.broken(work, error);

  #finished({ work, outbox, left }: Finish, result: WriteResult): void {
    if (result === "stale") this.#stale(work);
    else this.#leave(work, { outbox, left, outcome: "completed" });
  }

  #recorded({ work, settlement }: Failed, result: WriteResult): void {
    if (result === "stale" && settlement.kind !== "drop") this.#stale(work);
    else this.#act(work, settlement);
  }

  #stale(work: Work): void {
    this.#options.telemetry.emit({ type: "run.stale", eventId: work.eventId, skill: work.skillName }, work);
    this.#end(work, "dropped");
  }

  #act(work: Work, settlement: Failure): void {
    const { telemetry } = this.#options;
    const { eventId, skillName: skill, attempt } = work;
    switch (settlement.kind) {
      case "retry-later": {
        const { delayMs, code, description } = settlement;
        telemetry.emit({ type: "run.retrying", eventId, skill, attempt, delayMs, code, description }, work);
        this.#copyLater(work, settlement);
        return;
      }
      case "postpone":
        telemetry.emit({ type: "run.postponed", eventId, why: settlement.why, delayMs: settlement.delayMs }, work);
        this.#copyLater(work, settlement);
        return;
      case "dead-letter":
        if (this.#options.handOver.orderOf(work) === undefined) this.#giveUp(work, settlement);
        else this.#endSentFor(work, settlement);
        return;
      case "hand-over":
        this.#handOver(work, settlement);
        return;
      case "release":
        this.#return(work, true);
        return;
      case "drop":
        this.#end(work, "dropped");
        return;
    }
  }

  /** The event's own message lies in the dead-letter queue: this one was sent for its compensations, and they have ended. */
  #endSentFor(work: Work, { reason, description }: GivenUp): void {
    const { eventId, skillName: skill, attempt } = work;
    this.#options.telemetry.emit({ type: "recovery.ended", eventId, skill, attempt, reason, description: redact(description) }, work);
    this.#complete(work, "dead-lettered");
  }

  #handOver(work: Work, settlement: Extract<Failure, { kind: "hand-over" }>): void {
    const { handOver, telemetry } = this.#options;
    const { eventId, skillName: skill, attempt } = work;
    handOver.hurry(work);
    telemetry.emit({ type: "recovery.handed-over", eventId, skill, attempt, reason: settlement.reason, why: redact(settlement.description) }, work);
    if (handOver.orderOf(work) === undefined) this.#giveUp(work, settlement);
    else this.#complete(work, "dead-lettered");
  }

  /** The description stays with the message, readable by everyone who may read the dead-letter queue. A probe is no event of anybody's: it ends here. */
  #giveUp(work: Work, givenUp: GivenUp): void {
    if (isProbe(this.#secret, work)) return this.#complete(work, "dead-lettered");
    const { reason } = givenUp;
    const description = redact(ofSession(work, givenUp.description));
    const death = work.death ?? deathOf(work, givenUp, this.#options.brokerClock);
    const { eventId, skillName: skill, attempt, delivery } = work;
    const { class: deathClass, code, step, fingerprint } = death;
    const told = { eventId, messageId: delivery.messageId, skill, attempt, reason, description };
    this.#options.telemetry.emit({ type: "run.dead-lettered", ...told, class: deathClass, code, step, fingerprint }, work);
    const properties = { ...headersOfDeath({ ...death, reason }), ...(work.turn === undefined ? {} : { [deadSessionHeader]: work.turn.session.id }) };
    const order: SettleOrder = { verb: "dead-letter", delivery, reason, description, properties };
    // A worker that ends before its escalation is in the queue gets the message once more, and escalates it then.
    const escalated = this.#options.escalated?.();
    if (escalated === undefined) return this.#order(work, order, "dead-lettered");
    escalated.then(() => this.#order(work, order, "dead-lettered")).catch((error: unknown) => this.broken(work, error));
  }

  /** An event that has nowhere to go stays in the run's outbox: a replay of the message publishes it once it has. */
  #publishLater(work: Work, outbox: readonly OutgoingMessage[], outcome: FinalOutcome): void {
    let entities: readonly string[];
    try {
      entities = outbox.map((message) => message.entity ?? this.#options.entityFor(String(message.headers["eventType"])));
    } catch (error) {
      return this.#giveUp(work, unpublished("PublishUnconfigured", messageOf(error)));
    }
    work.stage = "recording";
    this.#options.traces?.sending(work);
    this.#publishes.add({ work, outbox, entities, outcome });
  }

  /** Sends what is due at once in one call for each entity; each run then ends by itself. */
  async #publish(items: readonly Publish[]): Promise<void> {
    const byEntity = new Map<string, OutgoingMessage[]>();
    for (const { outbox, entities } of items) {
      outbox.forEach((message, index) => {
        const entity = entities[index] ?? "";
        const known = byEntity.get(entity);
        if (known === undefined) byEntity.set(entity, [message]);
        else known.push(message);
      });
    }
    const unsent = await Promise.all([...byEntity].map(([entity, messages]) => this.#sending.send(entity, messages)));
    eachAlone(items, (item) => this.#published(item, unsent), this.#brokenItem);
  }

  #published(item: Publish, unsent: readonly Unsent[]): void {
    const { work, outbox, entities } = item;
    const failures = outbox.flatMap((message, index): PublishFailure[] => {
      const error = unsent.find((failed) => failed.has(message))?.get(message);
      return error === undefined ? [] : [{ eventType: String(message.headers["eventType"]), entity: entities[index] ?? "", error }];
    });
    const [first] = failures;
    this.#options.traces?.sent(work, outbox, entities, first?.error.code);
    if (first === undefined) this.#clears.add(item);
    else if (this.#sending.isStopped || failures.some(({ error }) => !error.isPermanent)) this.#publishAgain(work);
    else this.#giveUp(work, unpublished("PublishFailed", publishFailedText(first, failures.length, outbox.length)));
  }

  /** The run is done and its events wait in its outbox: a copy of the message has them published later. */
  #publishAgain(work: Work): void {
    if (this.#sending.isStopped) return this.handBack(work);
    const { brokerClock, random } = this.#options;
    const delayMs = postponeDelayMs(work.countedPostponements(brokerClock.nowMs()), { atLeastMs: publishPauseMinMs }, random);
    this.#act(work, { kind: "postpone", why: "publish-failed", delayMs });
  }

  /** A copy would come after what it stood before in its session. */
  #copyLater(work: Work, settlement: Copied): void {
    if (work.turn === undefined) {
      try {
        const copy = this.#copyOf(work, settlement);
        const isLeft = settlement.kind === "postpone" && settlement.why === "window-full";
        (isLeft ? this.#left : this.#copies).add({ work, settlement, copy });
      } catch (error) {
        this.broken(work, error);
      }
    } else {
      if (settlement.kind === "postpone") work.postponedHere += 1;
      this.#options.waitHere(work, settlement.delayMs);
    }
  }

  /** Made at once: what it reads of the message is at hand while that has just been looked at. */
  #copyOf(work: Work, settlement: Copied): OutgoingMessage {
    return copyOf(work.delivery, {
      atMs: this.#options.brokerClock.nowMs() + settlement.delayMs,
      secret: this.#secret,
      postponements: work.postponements + (settlement.kind === "postpone" ? 1 : 0),
      retriesInPlace: work.retriesInPlace,
      isApart: work.isApart,
      waitsFor: waitsFor(settlement),
      traceparent: settlement.kind === "retry-later" ? work.trace?.traceparent : undefined,
      // Its run is done and its events are to go out, however long that takes.
      outlivesItself: settlement.kind === "postpone" && settlement.why === "publish-failed",
    });
  }

  async #sendCopies(items: readonly Copy[]): Promise<void> {
    const copies = items.map(({ copy }) => copy);
    const unsent = await this.#sending.send(this.#options.source.retryEntity, copies);
    eachAlone(items, ({ work, settlement, copy }) => this.#copied(work, settlement, unsent.has(copy) ? undefined : copy.messageId), this.#brokenItem);
  }

  /** The copy carries the event on. Without one the message waits here instead: returned to the queue, it would be redelivered at once. */
  #copied(work: Work, settlement: Copied, copyId: string | undefined): void {
    if (copyId === undefined) {
      if (this.#sending.isStopped) this.handBack(work);
      else this.#options.waitHere(work, settlement.delayMs);
      return;
    }
    work.copyDelayMs = settlement.delayMs;
    work.copyId = copyId;
    this.#complete(work, settlement.kind === "postpone" ? "postponed" : "retried");
  }

  #complete(work: Work, outcome: FinalOutcome): void {
    this.#order(work, { verb: "complete", delivery: work.delivery }, outcome);
  }

  #order(work: Work, order: SettleOrder, outcome: FinalOutcome): void {
    work.stage = "settling";
    if (work.trace !== undefined) this.#options.traces?.settling(work, order.verb);
    this.#orders.add({ work, order, outcome });
  }

  async #settle(items: readonly Order[]): Promise<void> {
    const results: readonly SettleResult[] = await this.#options.source.transport.settle(items.map((item) => item.order));
    const ended = ({ work, outcome }: Order, index: number): void => {
      // What the broker may still have of a session comes before all that follows.
      if (work.turn !== undefined && results[index] !== "settled") work.turn.isDoubtful = true;
      if (results[index] === "lock-lost") this.#options.telemetry.emit({ type: "lock.lost", eventId: work.eventId, where: "settle" }, work);
      this.#end(work, outcome);
    };
    eachAlone(items, ended, this.#brokenItem);
  }

  #end(work: Work, outcome: FinalOutcome): void {
    work.stage = "gone";
    this.#options.ended(work, outcome);
  }
}

/** Whose order it was part of. */
function ofSession({ turn }: Work, description: string): string {
  return turn === undefined ? description : `${description} (session '${turn.session.id}')`;
}
