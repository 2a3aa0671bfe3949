// The sessions of the queue in memory: the lock of each, whose holder alone gets its messages, and its state.
import type { Delivery } from "../../core/delivery.ts";
import { TransportError } from "../../core/errors.ts";
import type { HeldSession, RenewResult, SessionListener, SettleResult } from "../../ports/transport.ts";
import type { Faults } from "./faults.ts";
import type { BrokerFault, Lock, ModelConnection, Stored } from "./model-queue.ts";
import { ModelWindow } from "./model-window.ts";
import type { SimClock } from "./sim-clock.ts";

/** The queue that they are of. */
export interface SessionQueue {
  readonly clock: SimClock;
  readonly lockMs: number;
  readonly latencyMs: number;
  readonly stored: readonly Stored[];
  lockWith(session: ModelSession, stored: Stored): Delivery;
  unlock(stored: Stored, isFree: boolean): void;
}

interface Waiter {
  readonly connection: ModelConnection;
  readonly faults: Faults<BrokerFault>;
  readonly granted: (session: ModelSession | undefined) => void;
}

export class ModelSessions {
  readonly broker: SessionQueue;
  readonly states: Map<string, Uint8Array> = new Map();
  readonly held: Map<string, ModelSession> = new Map();
  /** How often a session was accepted. */
  accepted = 0;
  #waiters: Waiter[] = [];
  /** When a session was last let go: the one that waits for longest goes first. */
  readonly #since = new Map<string, number>();
  #order = 0;
  #isPumping = false;

  constructor(broker: SessionQueue) {
    this.broker = broker;
  }

  get hasBacklog(): boolean {
    return this.broker.stored.some((one) => one.state === "active");
  }

  /** Undefined when none came in time. */
  accept(connection: ModelConnection, faults: Faults<BrokerFault>, waitMs: number): Promise<ModelSession | undefined> {
    return new Promise((resolve) => {
      const waiter: Waiter = {
        connection,
        faults,
        granted: (session) => {
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
          resolve(session);
        },
      };
      this.#waiters.push(waiter);
      this.broker.clock.after(waitMs, () => {
        if (this.#waiters.includes(waiter)) waiter.granted(undefined);
      });
      this.pump();
    });
  }

  firstOf(id: string): Stored | undefined {
    return this.broker.stored.find((one) => one.state === "active" && one.message.sessionId === id);
  }

  /** Gives free sessions to who waits, and messages to who has asked. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.broker.clock.soon(() => {
      this.#isPumping = false;
      for (const session of this.held.values()) session.deliver();
      while (this.#waiters.length > 0) {
        const id = this.#next();
        const waiter = this.#waiters.find(({ connection }) => !connection.clock.isDead);
        if (id === undefined || waiter === undefined) return;
        this.accepted += 1;
        const session = new ModelSession(this, id, waiter.connection, waiter.faults);
        this.held.set(id, session);
        waiter.granted(session);
      }
    });
  }

  /** Whether the message's session is locked; then it is lost. */
  lose({ message, lock }: Stored): boolean {
    const session = this.held.get(message.sessionId ?? "");
    if (session === undefined || session.lock !== lock) return false;
    session.lose("expired");
    return true;
  }

  letGoOf(connection: ModelConnection): void {
    for (const session of this.held.values()) if (session.connection === connection) session.lose("detached");
  }

  free(id: string): void {
    this.held.delete(id);
    this.#order += 1;
    this.#since.set(id, this.#order);
    this.pump();
  }

  #next(): string | undefined {
    let found: string | undefined;
    let since = Number.POSITIVE_INFINITY;
    for (const { state, message } of this.broker.stored) {
      const id = message.sessionId ?? "";
      if (state !== "active" || this.held.has(id) || (this.#since.get(id) ?? 0) >= since) continue;
      found = id;
      since = this.#since.get(id) ?? 0;
    }
    return found;
  }
}

export class ModelSession implements HeldSession {
  readonly id: string;
  readonly connection: ModelConnection;
  readonly lock: Lock;
  lockedUntilMs: number;
  readonly #sessions: ModelSessions;
  readonly #faults: Faults<BrokerFault>;
  readonly #window = new ModelWindow((arrivingBytes) =>
    this.connection.clock.isDead ? 0 : (this.#listener?.bytesRoom?.(arrivingBytes) ?? Number.POSITIVE_INFINITY),
  );
  #listener: SessionListener | undefined;
  #hasAsked = false;
  #isOver = false;
  #isReleased = false;

  constructor(sessions: ModelSessions, id: string, connection: ModelConnection, faults: Faults<BrokerFault>) {
    const { broker } = sessions;
    this.#sessions = sessions;
    this.#faults = faults;
    this.id = id;
    this.connection = connection;
    this.lockedUntilMs = broker.clock.wallMs() + broker.lockMs;
    this.lock = { connection, number: -sessions.accepted, untilMs: this.lockedUntilMs };
    this.#watch();
  }

  listen(listener: SessionListener): void {
    this.#listener = listener;
  }

  receive(): void {
    const { broker } = this.#sessions;
    broker.clock.after(broker.latencyMs, () => {
      if (this.connection.clock.isDead) return;
      this.#hasAsked = true;
      this.#sessions.pump();
    });
  }

  widen(): void {
    this.#sessions.pump();
  }

  deliver(): void {
    const { broker } = this.#sessions;
    const stored = this.#hasAsked && !this.#isOver ? this.#sessions.firstOf(this.id) : undefined;
    const bytes = stored?.message.body.byteLength ?? 0;
    if (stored === undefined || this.#window.send([bytes]) === 0) return;
    this.#hasAsked = false;
    const delivery = broker.lockWith(this, stored);
    broker.clock.after(broker.latencyMs, () =>
      this.connection.clock.run(() => {
        this.connection.handedOut += 1;
        this.#window.arrived(bytes);
        if (!this.#isReleased) this.#listener?.delivery(delivery);
      }),
    );
    if (this.#faults.hits("session-detached")) broker.clock.after(3 * broker.latencyMs, () => this.lose("detached"));
  }

  /** At the broker. */
  extend(): RenewResult {
    const { broker } = this.#sessions;
    if (this.#isOver) return { kind: "lock-lost" };
    this.lock.untilMs = broker.clock.wallMs() + broker.lockMs;
    this.lockedUntilMs = this.lock.untilMs;
    return { kind: "renewed", lockedUntilMs: this.lockedUntilMs };
  }

  renew(): Promise<RenewResult> {
    return this.connection.ask(() => {
      if (this.connection.isDown || this.#faults.hits("renew-unknown")) return { kind: "unknown" };
      if (this.#faults.hits("lock-lost")) this.lose("expired");
      return this.extend();
    });
  }

  getState(): Promise<Uint8Array | undefined> {
    return this.connection.ask(() => {
      if (this.connection.isDown || this.#isOver) throw new TransportError("expected the state of a session that is held, found it lost");
      return this.#sessions.states.get(this.id);
    });
  }

  setState(state: Uint8Array | undefined): Promise<SettleResult> {
    return this.connection.ask(() => {
      if (this.connection.isDown) return "unknown";
      if (this.#isOver) return "lock-lost";
      if (state === undefined) this.#sessions.states.delete(this.id);
      else this.#sessions.states.set(this.id, Uint8Array.from(state));
      return "settled";
    });
  }

  release(): Promise<void> {
    this.#isReleased = true;
    return this.connection.ask(() => this.#end("released"));
  }

  /** Its lock ends, or its link does, which its holder hears of unless it is gone. */
  lose(how: "expired" | "detached"): void {
    if (this.#isOver) return;
    this.#end(how);
    const { broker } = this.#sessions;
    broker.clock.after(broker.latencyMs, () =>
      this.connection.clock.run(() => {
        if (!this.#isReleased) this.#listener?.lost(new TransportError(`expected to hold session '${this.id}', found that it has ${how}`));
      }),
    );
  }

  #end(how: "expired" | "detached" | "released"): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.lock.untilMs = 0;
    const { broker } = this.#sessions;
    for (const stored of broker.stored) if (stored.lock === this.lock) broker.unlock(stored, how !== "expired");
    this.#sessions.free(this.id);
  }

  #watch(): void {
    const { clock } = this.#sessions.broker;
    clock.after(this.lock.untilMs - clock.wallMs(), () => {
      if (this.#isOver) return;
      if (this.lock.untilMs > clock.wallMs()) this.#watch();
      else this.lose("expired");
    });
  }
}
