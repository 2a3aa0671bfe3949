/**
 * Acts on what was decided, in the one order that loses nothing:
 *
 *   success:  done + outbox (one write) → publish → clear the outbox → complete
 *   failure:  record → (schedule a copy →) complete | dead-letter | release | abandon
 *
 * A step that fails leaves the message unsettled or hands it back, so that its redelivery finishes what is left; a step that
 * was done and whose answer was lost is absorbed by the done mark, the epoch or the derived message id.
 */
import type { Clock, Random } from "../core/clock.ts";
import { copyOf, postponementsOf } from "../core/copy.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { messageOf } from "../core/errors.ts";
import { decodeOutbox, encodeOutbox } from "../core/outbox.ts";
import type { Settlement } from "../core/settlement.ts";
import { postponeDelayMs } from "../policy/backoff.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { FailWrite, FinishWrite, RunStore, WriteResult } from "../ports/run-store.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import type { SettleOrder, SettleResult, Transport } from "../ports/transport.ts";
import { GroupCommit } from "./group-commit.ts";
import { Sending } from "./sending.ts";
import type { StoreGate } from "./store-gate.ts";
import { TickBatch } from "./tick-batch.ts";
import type { Work } from "./work.ts";

/** Settlements that end a delivery without success; a retry in place ends nothing. */
type Failure = Exclude<Settlement, { kind: "retry-now" | "complete" }>;
type Copied = Extract<Settlement, { kind: "retry-later" | "postpone" }>;

const reasonCharactersMax = 200;
/** After every attempt to publish has failed, the message is not looked at again for this long. */
const publishPauseMinMs = 5_000;

export interface SettlerOptions {
  readonly transport: Transport;
  readonly publisher: Publisher;
  readonly store: RunStore;
  readonly gate: StoreGate;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Where copies are sent: the queue that is read, or the private retry queue of a subscription. */
  readonly retryEntity: string;
  /** Where an emitted event of this type is sent; throws when that is not configured. */
  entityFor(eventType: string): string;
  /** The delivery has ended. Called exactly once for each. */
  ended(work: Work, outcome: FinalOutcome): void;
}

interface Finish {
  readonly work: Work;
  readonly outbox: readonly OutgoingMessage[];
  readonly write: FinishWrite;
}

interface Failed {
  readonly work: Work;
  readonly settlement: Failure;
  readonly write: FailWrite;
}

interface Copy {
  readonly work: Work;
  readonly settlement: Copied;
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
  readonly #orders: TickBatch<Order>;
  #isDraining = false;

  constructor(options: SettlerOptions) {
    const { store, clock, gate, publisher } = options;
    this.#options = options;
    this.#sending = new Sending(publisher, clock, (entity, messages, error) => options.telemetry.emit({ type: "send.failed", entity, messages, error: messageOf(error) }));
    this.#finishes = new GroupCommit({
      clock,
      gate,
      write: (items) => store.finish(items.map((item) => item.write)),
      written: (items, results) => items.forEach((item, index) => this.#finished(item, results[index] ?? "stale")),
      abandoned: (items) => items.forEach(({ work }) => this.handBack(work)),
    });
    this.#failures = new GroupCommit({
      clock,
      gate,
      write: (items) => store.fail(items.map((item) => item.write)),
      written: (items, results) => items.forEach((item, index) => this.#recorded(item, results[index] ?? "stale")),
      abandoned: (items) => items.forEach(({ work }) => this.handBack(work)),
    });
    this.#clears = new GroupCommit({
      clock,
      gate,
      write: (items) => store.clearOutbox(items.map((item) => item.work.eventId)),
      written: (items) => items.forEach(({ work, outcome }) => this.#complete(work, outcome)),
      abandoned: (items) => items.forEach(({ work, outcome }) => this.#complete(work, outcome)),
    });
    this.#publishes = new TickBatch(clock, (items) => void this.#publish(items));
    this.#copies = new TickBatch(clock, (items) => void this.#sendCopies(items));
    this.#orders = new TickBatch(clock, (items) => void this.#settle(items));
  }

  /** The run succeeded under its claim. */
  succeed(work: Work, outbox: readonly OutgoingMessage[]): void {
    work.stage = "recording";
    this.#finishes.add({ work, outbox, write: { eventId: work.eventId, epoch: work.epoch, outbox: encodeOutbox(outbox) } });
  }

  /** The run had been done before: publish what is left, then complete. */
  absorb(work: Work, outbox: Uint8Array): void {
    if (outbox.length === 0) return this.#complete(work, "duplicate");
    let left: readonly OutgoingMessage[];
    try {
      left = decodeOutbox(outbox);
    } catch (error) {
      return this.#giveUp(work, "OutboxUnreadable", `expected the outbox of a run that is done to be readable, found other bytes: ${messageOf(error, 200)}`);
    }
    this.#publishLater(work, left, "duplicate");
  }

  /** The run ends without success; `settlement` says how. Records it first when the run is claimed. */
  fail(work: Work, settlement: Failure): void {
    work.stage = "recording";
    if (work.epoch === 0) this.#act(work, settlement);
    else this.#failures.add({ work, settlement, write: failWrite(work, settlement) });
  }

  /** Nothing of it has begun here: it goes back to the broker, for any worker. */
  release(work: Work): void {
    this.fail(work, { kind: "release" });
  }

  /** The worker takes nothing more: what goes back from now on is for others. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Ends every pause between two attempts to send. */
  stop(): void {
    this.#sending.stop();
  }

  /** Gives a message back without asking the store. */
  handBack(work: Work): void {
    this.#return(work, this.#options.gate.hasGivenUp);
  }

  /**
   * Gives a message back. Free of charge, when it surely is not the message that is to blame: when the worker stops, whether its
   * run had begun or not, for it goes to another worker; and when nothing of it has begun here and what keeps it from beginning
   * is a store that is down, in which time nothing is received, or a place in a lane that came too late. In every other case
   * (the store or the broker refuses what belongs to it, or its run has taken effect and cannot be recorded) the same may
   * happen again at once and for ever, so it counts as a delivery: the entity's maximum is what ends it.
   */
  #return(work: Work, isBlameless: boolean): void {
    const isFree = this.#isDraining || (isBlameless && work.executions === 0);
    this.#order(work, { verb: isFree ? "release" : "abandon", delivery: work.delivery }, "released");
  }

  #finished(item: Finish, result: WriteResult): void {
    if (result === "stale") this.#stale(item.work);
    else if (item.outbox.length > 0) this.#publishLater(item.work, item.outbox, "completed");
    else this.#complete(item.work, "completed");
  }

  #recorded({ work, settlement }: Failed, result: WriteResult): void {
    if (result === "stale" && settlement.kind !== "drop") this.#stale(work);
    else this.#act(work, settlement);
  }

  #stale(work: Work): void {
    this.#options.telemetry.emit({ type: "run.stale", eventId: work.eventId, skill: work.skillName });
    this.#end(work, "dropped");
  }

  #act(work: Work, settlement: Failure): void {
    const { telemetry } = this.#options;
    const { eventId } = work;
    switch (settlement.kind) {
      case "retry-later":
        telemetry.emit({ type: "run.retrying", eventId, skill: work.skillName, attempt: work.attempt, delayMs: settlement.delayMs, code: settlement.code, description: settlement.description });
        this.#copies.add({ work, settlement });
        return;
      case "postpone":
        telemetry.emit({ type: "run.postponed", eventId, why: settlement.why, delayMs: settlement.delayMs });
        this.#copies.add({ work, settlement });
        return;
      case "dead-letter":
        this.#giveUp(work, settlement.reason, settlement.description);
        return;
      case "release":
        this.#return(work, true);
        return;
      case "drop":
        this.#end(work, "dropped");
        return;
    }
  }

  #giveUp(work: Work, reason: string, description: string): void {
    this.#options.telemetry.emit({ type: "run.dead-lettered", eventId: work.eventId, messageId: work.delivery.messageId, skill: work.skillName, attempt: work.attempt, reason, description });
    this.#order(work, { verb: "dead-letter", delivery: work.delivery, reason, description }, "dead-lettered");
  }

  /** An event that has nowhere to go stays in the run's outbox: a replay of the message publishes it once it has. */
  #publishLater(work: Work, outbox: readonly OutgoingMessage[], outcome: FinalOutcome): void {
    let entities: readonly string[];
    try {
      entities = outbox.map((message) => this.#options.entityFor(String(message.headers["eventType"])));
    } catch (error) {
      return this.#giveUp(work, "PublishUnconfigured", messageOf(error));
    }
    work.stage = "recording";
    this.#publishes.add({ work, outbox, entities, outcome });
  }

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
    for (const item of items) {
      if (item.outbox.some((message) => unsent.some((set) => set.has(message)))) this.#publishAgain(item.work);
      else this.#clears.add(item);
    }
  }

  /** The run is done and its events wait in its outbox: the message comes again later and has them published. */
  #publishAgain(work: Work): void {
    if (this.#sending.isStopped) return this.handBack(work);
    const delayMs = postponeDelayMs(postponementsOf(work.delivery), publishPauseMinMs, this.#options.random);
    this.#act(work, { kind: "postpone", why: "publish-failed", delayMs });
  }

  async #sendCopies(items: readonly Copy[]): Promise<void> {
    const wallMs = this.#options.clock.wallMs();
    const copies = items.map(({ work, settlement }) =>
      copyOf(work.delivery, wallMs + settlement.delayMs, {
        postponements: postponementsOf(work.delivery) + (settlement.kind === "postpone" ? 1 : 0),
        retriesInPlace: work.retriesInPlace,
      }),
    );
    const unsent = await this.#sending.send(this.#options.retryEntity, copies);
    items.forEach(({ work, settlement }, index) => {
      const copy = copies[index];
      if (copy === undefined || unsent.has(copy)) return this.handBack(work);
      work.copyDelayMs = settlement.delayMs;
      work.copyId = copy.messageId;
      this.#complete(work, settlement.kind === "postpone" ? "postponed" : "retried");
    });
  }

  #complete(work: Work, outcome: FinalOutcome): void {
    this.#order(work, { verb: "complete", delivery: work.delivery }, outcome);
  }

  #order(work: Work, order: SettleOrder, outcome: FinalOutcome): void {
    work.stage = "settling";
    this.#orders.add({ work, order, outcome });
  }

  async #settle(items: readonly Order[]): Promise<void> {
    const results: readonly SettleResult[] = await this.#options.transport.settle(items.map((item) => item.order));
    items.forEach(({ work, outcome }, index) => {
      if (results[index] === "lock-lost") this.#options.telemetry.emit({ type: "lock.lost", eventId: work.eventId, where: "settle" });
      this.#end(work, outcome);
    });
  }

  #end(work: Work, outcome: FinalOutcome): void {
    work.stage = "gone";
    this.#options.ended(work, outcome);
  }
}

function failWrite(work: Work, settlement: Failure): FailWrite {
  const { eventId, epoch } = work;
  const losses = work.lossesHere;
  // A run that failed and was to be retried in place has been tried, whatever keeps it from that retry.
  const failures = work.hasFailed ? 1 : 0;
  switch (settlement.kind) {
    case "retry-later":
      return { eventId, epoch, state: "waiting", reason: settlement.code, failures: 1, losses };
    case "postpone":
      return { eventId, epoch, state: "waiting", reason: settlement.why, failures, losses };
    case "dead-letter":
      return { eventId, epoch, state: settlement.state, reason: settlement.reason.slice(0, reasonCharactersMax), failures: 1, losses };
    case "release":
    case "drop":
      return { eventId, epoch, state: "waiting", reason: settlement.kind, failures, losses };
  }
}
