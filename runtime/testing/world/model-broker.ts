// A Service Bus queue with its dead-letter sub-queue, in memory and on a clock of the test, as a transport and a publisher
// see it. Its locks, counts and faults are exact, so that a test can hold what came out against what went in.
import { strict as assert } from "node:assert";
import type { Delivery, HeaderValue, IdValue, OutgoingMessage, Particulars } from "../../core/delivery.ts";
import { TransportError } from "../../core/errors.ts";
import type { Publisher } from "../../ports/publisher.ts";
import type { HeldSession, Receiver, ReceiverListener, RenewResult, SettleOrder, SettleResult, Transport } from "../../ports/transport.ts";
import type { Faults } from "./faults.ts";
import { ModelWindow } from "./model-window.ts";
import type { BrokerFault, Lock, ModelConnection, Stored } from "./model-queue.ts";
import { type ModelSession, ModelSessions } from "./model-sessions.ts";
import type { ProcessClock, SimClock } from "./sim-clock.ts";

export interface ModelBrokerOptions {
  readonly clock: SimClock;
  readonly lockMs?: number;
  readonly deliveriesMax?: number;
  /** Every call and every batch takes this long each way. */
  readonly latencyMs?: number;
  /** Messages are handed out by session alone. */
  readonly requiresSessions?: boolean;
  /** Its name; default `queueName`. */
  readonly queue?: string;
}

export const queueName = "work";

function textOf(id: IdValue | undefined): string | undefined {
  return id === undefined || typeof id === "string" ? id : JSON.stringify(id);
}

export class ModelDelivery implements Delivery {
  readonly bodySection = "data";
  readonly stored: Stored;
  readonly #lock: Lock | undefined;
  readonly attempt: number;
  readonly lockedUntilMs: number;
  /** That it is locked with. */
  readonly session: ModelSession | undefined;
  #verb: SettleOrder["verb"] | undefined;

  constructor(stored: Stored, lock: Lock | undefined, session?: ModelSession) {
    this.stored = stored;
    this.#lock = lock;
    this.attempt = stored.failedDeliveries + 1;
    this.lockedUntilMs = lock?.untilMs ?? 0;
    this.session = session;
  }

  /** That it was handed out under. */
  get lock(): Lock {
    if (this.#lock === undefined) throw new Error(`expected ${this.messageId} to be locked, it is only looked at`);
    return this.#lock;
  }

  get messageId(): string {
    return this.stored.message.messageId;
  }

  get sequenceNumber(): bigint {
    return this.stored.sequenceNumber;
  }

  get enqueuedAtMs(): number {
    return this.stored.enqueuedAtMs;
  }

  get contentType(): string | undefined {
    return this.stored.message.contentType;
  }

  get correlationId(): string | undefined {
    return textOf(this.stored.message.correlationId);
  }

  get timeToLiveMs(): number | undefined {
    return this.stored.message.timeToLiveMs;
  }

  particulars(): Particulars {
    const { correlationId, to, replyTo, sessionId, replyToSessionId, partitionKey } = this.stored.message;
    return { correlationId, to, replyTo, sessionId, replyToSessionId, partitionKey };
  }

  get subject(): string | undefined {
    return this.stored.message.subject;
  }

  get body(): Uint8Array {
    return this.stored.message.body;
  }

  order(verb: SettleOrder["verb"]): void {
    assert.equal(this.#verb, undefined, `expected one order a delivery, got a second one (${verb}) for ${this.messageId}`);
    this.#verb = verb;
  }

  header(name: string): HeaderValue | undefined {
    return this.stored.message.headers[name];
  }

  headers(): Readonly<Record<string, HeaderValue>> {
    return this.stored.message.headers;
  }
}

export class ModelBroker {
  readonly clock: SimClock;
  readonly lockMs: number;
  readonly deliveriesMax: number;
  readonly latencyMs: number;
  /** Undefined where it has none. */
  readonly sessions: ModelSessions | undefined;
  readonly queue: string;
  /** Other queues of the namespace, by name. */
  readonly others: Map<string, ModelBroker> = new Map();
  /** Everything that was ever in the queue, in order. */
  readonly stored: Stored[] = [];
  /** What was sent to other entities. */
  readonly published: { readonly entity: string; readonly message: OutgoingMessage }[] = [];
  readonly #receivers: ModelReceiver[] = [];
  /** Indexes into `stored` of what can be delivered, rising. */
  #ready: number[] = [];
  #locks = 0;
  #isPumping = false;

  constructor(options: ModelBrokerOptions) {
    this.clock = options.clock;
    this.lockMs = options.lockMs ?? 30_000;
    this.deliveriesMax = options.deliveriesMax ?? 10;
    this.latencyMs = options.latencyMs ?? 1;
    this.sessions = options.requiresSessions === true ? new ModelSessions(this) : undefined;
    this.queue = options.queue ?? queueName;
  }

  /** `trace` hears each order to settle and each send as it is made. */
  connect(clock: ProcessClock, faults: Faults<BrokerFault>, trace: (call: string) => void): BrokerConnection {
    return new BrokerConnection(this, clock, faults, trace);
  }

  /** What is in the queue or on its way out of it. */
  get open(): Stored[] {
    return this.stored.filter((one) => one.state !== "completed" && one.state !== "dead-lettered");
  }

  get deadLettered(): Stored[] {
    return this.stored.filter((one) => one.state === "dead-lettered");
  }

  get hasBacklog(): boolean {
    return this.sessions?.hasBacklog ?? this.#ready.length > 0;
  }

  /** Accepts messages now. */
  accept(entity: string, messages: readonly OutgoingMessage[]): void {
    const other = this.others.get(entity);
    if (other !== undefined) return other.accept(entity, messages);
    for (const message of messages) {
      if (entity === this.queue) this.#enqueue(message);
      else this.published.push({ entity, message });
    }
    this.pump();
  }

  attach(receiver: ModelReceiver): void {
    this.#receivers.push(receiver);
    this.pump();
  }

  detach(receiver: ModelReceiver): void {
    const at = this.#receivers.indexOf(receiver);
    if (at >= 0) this.#receivers.splice(at, 1);
  }

  /** Carries out an order, or says that the lock is not held. */
  settle(order: SettleOrder): SettleResult {
    const delivery = order.delivery as ModelDelivery;
    const { stored } = delivery;
    if (!this.#holds(delivery)) return "lock-lost";
    stored.lock = undefined;
    switch (order.verb) {
      case "complete":
        stored.state = "completed";
        break;
      case "dead-letter":
        stored.properties = { ...order.properties, DeadLetterReason: order.reason, DeadLetterErrorDescription: order.description };
        this.#deadLetter(stored, order.reason);
        break;
      case "abandon":
        this.#giveBack(stored);
        break;
      case "release":
        // It goes back with its session.
        if (delivery.session !== undefined) {
          stored.lock = delivery.lock;
          break;
        }
        if ((delivery.lock.connection as BrokerConnection).releaseIsFree) stored.failedDeliveries -= 1;
        this.#giveBack(stored);
        break;
      case "defer":
        throw new Error("expected no message to be deferred");
    }
    return "settled";
  }

  renew(delivery: Delivery): RenewResult {
    const held = delivery as ModelDelivery;
    if (!this.#holds(held)) return { kind: "lock-lost" };
    if (held.session !== undefined) return held.session.extend();
    held.lock.untilMs = this.clock.wallMs() + this.lockMs;
    return { kind: "renewed", lockedUntilMs: held.lock.untilMs };
  }

  /** Ends the locks of a delivery's message, as maintenance of the broker would. */
  loseLock(stored: Stored): void {
    if (stored.lock === undefined) return;
    if (this.sessions?.lose(stored) === true) return;
    stored.lock = undefined;
    this.#giveBack(stored);
  }

  /** Hands out what is ready to whoever has credit. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.clock.soon(() => {
      this.#isPumping = false;
      for (const receiver of this.#receivers) {
        if (receiver.isMute) continue;
        const count = receiver.window.send(this.#ready.slice(0, receiver.credit).map((index) => (this.stored[index] as Stored).message.body.byteLength));
        if (count === 0) continue;
        receiver.deliver(this.#ready.splice(0, count).map((index) => this.#lock(this.stored[index] as Stored, receiver.connection)));
      }
    });
  }

  /** A delivery that never reached the application goes back. */
  release(delivery: Delivery): void {
    const { stored } = delivery as ModelDelivery;
    if (!this.#holds(delivery as ModelDelivery)) return;
    stored.lock = undefined;
    stored.failedDeliveries -= 1;
    this.#giveBack(stored);
  }

  #enqueue(message: OutgoingMessage): void {
    const wallMs = this.clock.wallMs();
    const dueMs = message.scheduledAtMs ?? 0;
    const stored: Stored = {
      sequenceNumber: BigInt(this.stored.length + 1),
      message,
      enqueuedAtMs: Math.max(wallMs, dueMs),
      state: dueMs > wallMs ? "scheduled" : "active",
      failedDeliveries: 0,
      lock: undefined,
      reason: undefined,
      properties: {},
    };
    this.stored.push(stored);
    if (stored.state === "active") this.#makeReady(stored);
    else this.clock.after(dueMs - wallMs, () => this.#makeReady(stored));
  }

  #makeReady(stored: Stored): void {
    stored.state = "active";
    if (this.sessions !== undefined) return this.sessions.pump();
    const index = Number(stored.sequenceNumber) - 1;
    const last = this.#ready.at(-1);
    if (last === undefined || last < index) this.#ready.push(index);
    else
      this.#ready.splice(
        this.#ready.findIndex((other) => other > index),
        0,
        index,
      );
    this.pump();
  }

  #lock(stored: Stored, connection: BrokerConnection): ModelDelivery {
    this.#locks += 1;
    const lock: Lock = { connection, number: this.#locks, untilMs: this.clock.wallMs() + this.lockMs };
    stored.state = "locked";
    stored.lock = lock;
    this.#watch(stored, lock);
    return new ModelDelivery(stored, lock);
  }

  /** Under its session's lock. */
  lockWith(session: ModelSession, stored: Stored): ModelDelivery {
    stored.state = "locked";
    stored.lock = session.lock;
    return new ModelDelivery(stored, session.lock, session);
  }

  /** The session of a message is held no more; `isFree`: it was let go. */
  unlock(stored: Stored, isFree: boolean): void {
    stored.lock = undefined;
    if (isFree) stored.failedDeliveries -= 1;
    this.#giveBack(stored);
  }

  #watch(stored: Stored, lock: Lock): void {
    this.clock.after(lock.untilMs - this.clock.wallMs(), () => {
      if (stored.lock !== lock) return;
      if (lock.untilMs > this.clock.wallMs()) this.#watch(stored, lock);
      else this.loseLock(stored);
    });
  }

  #holds(delivery: ModelDelivery): boolean {
    return delivery.stored.lock === delivery.lock && delivery.lock.untilMs > this.clock.wallMs();
  }

  #giveBack(stored: Stored): void {
    stored.failedDeliveries += 1;
    if (stored.failedDeliveries >= this.deliveriesMax) this.#deadLetter(stored, "MaxDeliveryCountExceeded");
    else this.#makeReady(stored);
  }

  #deadLetter(stored: Stored, reason: string): void {
    stored.state = "dead-lettered";
    stored.reason = reason;
  }
}

class ModelReceiver implements Receiver {
  readonly connection: BrokerConnection;
  readonly #listener: ReceiverListener;
  credit = 0;
  /** Gets nothing, and nobody says so. */
  isMute = false;
  #isStopped = false;
  readonly window: ModelWindow;

  constructor(connection: BrokerConnection, listener: ReceiverListener) {
    this.connection = connection;
    this.#listener = listener;
    this.window = new ModelWindow((arrivingBytes) => (connection.clock.isDead ? 0 : (listener.bytesRoom?.(arrivingBytes) ?? Number.POSITIVE_INFINITY)));
  }

  addCredit(count: number): void {
    assert.ok(Number.isInteger(count) && count >= 1, `expected credit of 1 or more, got ${count}`);
    assert.ok(!this.#isStopped, "expected no credit after stop");
    this.credit += count;
    this.connection.broker.pump();
  }

  widen(): void {
    this.connection.broker.pump();
  }

  deliver(deliveries: readonly ModelDelivery[]): void {
    const { broker, clock } = this.connection;
    this.credit -= deliveries.length;
    broker.clock.after(broker.latencyMs, () =>
      clock.run(() => {
        for (const { body } of deliveries) this.window.arrived(body.byteLength);
        if (!this.#isStopped) {
          this.connection.handedOut += deliveries.length;
          this.#listener.deliveries(deliveries);
          if (this.window.isBound) broker.pump();
        } else for (const delivery of deliveries) broker.release(delivery);
      }),
    );
  }

  disturb(error: TransportError = new TransportError("expected the link to stay, it was detached")): void {
    this.#listener.disturbed(error);
  }

  /** The broker serves it again. */
  reopen(): void {
    this.#listener.opened?.();
  }

  stop(): Promise<void> {
    const { broker, clock } = this.connection;
    this.#isStopped = true;
    broker.detach(this);
    return clock.hear(broker.clock.delay(broker.latencyMs));
  }
}

/** What one process has of the broker. */
export class BrokerConnection implements Transport, Publisher, ModelConnection {
  releaseIsFree = true;
  readonly broker: ModelBroker;
  readonly clock: ProcessClock;
  readonly #faults: Faults<BrokerFault>;
  readonly receivers: ModelReceiver[] = [];
  reconnections = 0;
  /** Deliveries that reached the process. */
  handedOut = 0;
  /** Nothing that was sent or asked arrives, while the process lives. */
  isDown = false;
  readonly #trace: (call: string) => void;

  constructor(broker: ModelBroker, clock: ProcessClock, faults: Faults<BrokerFault>, trace: (call: string) => void) {
    this.broker = broker;
    this.clock = clock;
    this.#faults = faults;
    this.#trace = trace;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    for (const receiver of this.receivers) this.broker.detach(receiver);
    this.broker.sessions?.letGoOf(this);
  }

  async requiresSessions(): Promise<boolean> {
    return this.broker.sessions !== undefined;
  }

  async acceptSession(waitMs: number): Promise<HeldSession | undefined> {
    const { sessions, clock, latencyMs } = this.broker;
    if (this.clock.isDead) return new Promise(() => undefined);
    assert.ok(sessions !== undefined, "expected sessions to be accepted of an entity that has some");
    const accepted = clock.delay(latencyMs).then(() => {
      if (this.isDown) throw new TransportError("expected a session, found no connection");
      return sessions.accept(this, this.#faults, waitMs);
    });
    return this.clock.hear(accepted.then(async (session) => clock.delay(latencyMs).then(() => session)));
  }

  /** There and back again, for whatever belongs to the connection. */
  ask<T>(act: () => T): Promise<T> {
    return this.#ask(act);
  }

  /** The process is gone: nothing reaches it, its locks run out. */
  kill(): void {
    this.clock.kill();
    for (const receiver of this.receivers) this.broker.detach(receiver);
  }

  openReceiver(listener: ReceiverListener): Receiver {
    const receiver = new ModelReceiver(this, listener);
    this.receivers.push(receiver);
    // What a process still says in the turn in which it is killed reaches nobody.
    if (!this.clock.isDead) this.broker.attach(receiver);
    if (this.#faults.hits("disturbed")) this.broker.clock.after(this.broker.latencyMs, () => this.clock.run(() => receiver.disturb()));
    return receiver;
  }

  async reconnect(): Promise<void> {
    this.reconnections += 1;
  }

  settle(orders: readonly SettleOrder[]): Promise<readonly SettleResult[]> {
    for (const { verb, delivery } of orders) {
      (delivery as ModelDelivery).order(verb);
      this.#trace(verb);
    }
    return this.#ask(() =>
      orders.map((order) => {
        if (this.isDown || this.#faults.hits("settle-lost")) return "unknown";
        const result = this.broker.settle(order);
        return this.#faults.hits("settle-answer-lost") ? "unknown" : result;
      }),
    );
  }

  renew(deliveries: readonly Delivery[]): Promise<readonly RenewResult[]> {
    return this.#ask(() =>
      deliveries.map((delivery) => {
        if (this.isDown || this.#faults.hits("renew-unknown")) return { kind: "unknown" };
        if (this.#faults.hits("lock-lost")) this.broker.loseLock((delivery as ModelDelivery).stored);
        return this.broker.renew(delivery);
      }),
    );
  }

  hasBacklog(): Promise<boolean> {
    return this.#ask(() => {
      if (this.isDown) throw new TransportError("expected an answer, got none");
      return this.broker.hasBacklog;
    });
  }

  send(entity: string, messages: readonly OutgoingMessage[]): Promise<void> {
    for (const { scheduledAtMs } of messages) this.#trace(scheduledAtMs === undefined ? `send to ${entity}` : `schedule on ${entity}`);
    return this.#ask(() => {
      if (this.isDown || this.#faults.hits("send-refused")) throw new TransportError("expected the messages to be taken, they were refused");
      this.broker.accept(entity, messages);
      if (this.#faults.hits("send-answer-lost")) throw new TransportError("expected an answer, got none");
    });
  }

  /** There and back again: the broker acts after one latency, the process hears after two. */
  #ask<T>(act: () => T): Promise<T> {
    const { clock, latencyMs } = this.broker;
    if (this.clock.isDead) return new Promise(() => undefined);
    return this.clock.hear(
      (async () => {
        await clock.delay(latencyMs);
        const answer = act();
        await clock.delay(latencyMs);
        return answer;
      })(),
    );
  }
}
