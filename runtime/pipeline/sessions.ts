/**
 * Works the sessions of an entity: the next free ones are accepted, up to as many as there are places, and each is worked one
 * message at a time in the order of the queue.
 *
 * Order comes before everything: the next message of a session is asked for only once the one before is settled, and surely
 * so. Whatever else becomes of a message, its session is let go, and whoever accepts it next begins with that message. A message
 * that has to wait, for its next try or for what it needs, waits where it is, under its session's lock: the broker would hand a
 * session that was let go to the next who asks, and that would be at once. While it waits it has no place. Only so many
 * wait here; of more, those that wait longest are let go, and found to be waiting by whoever accepts them.
 */
import type { SessionsSettings } from "../core/config/sessions.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Delivery } from "../core/delivery.ts";
import { TransportError } from "../core/errors.ts";
import { pauseMaxMsAfter } from "../core/reopen-pause.ts";
import type { BrokerClock } from "../policy/broker-clock.ts";
import { acceptPauseMs, acceptsWanted, dryAfterMs, goesOn, isDry, isIdle, isLately, isPassedOn, restsMax, wouldGiveWay } from "../policy/session-turns.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import type { HeldSession } from "../ports/transport.ts";
import type { LockKeeper } from "./lock-keeper.ts";
import type { PauseReason, Receiving } from "./receiving.ts";
import type { IncomingBytes } from "../policy/incoming-bytes.ts";
import { SessionBytes } from "./session-bytes.ts";
import { Turn, type TurnStage } from "./session-turn.ts";
import type { Source } from "./source.ts";
import type { SourceHealth } from "./source-health.ts";
import type { Work } from "./work.ts";

/** How long the broker is asked to wait for the next session: when there is a place for it, and when one would first have to be made. */
const acceptWaitMs = 30_000;
const swapWaitMs = 1_000;
/** How often sessions are looked at: while some have asked for a message, and while all have one. */
const lookMs = dryAfterMs / 2;
const slowLookMs = 250;
/** No session is asked for so long after one was let go: for others that wait for their next try, for the bytes of these, and for want of a place. */
const letGoPauseMs = 100;
const largeGoPauseMs = 500;
const passedOnPauseMs = 1_000;
/** Sessions that are known to wait for their next try though they were let go; and how long none is asked for after one of them came, for each that may be another. */
const putOffMax = 10_000;
const putOffPauseMs = 2;
/** A session's lock is renewed once less than this part of it is left. */
const renewBelow = 0.5;
/** A message that comes after a wait of so long was sent just now. */
const awaitedAfterMs = 200;

export interface SessionsOptions {
  readonly source: Source;
  readonly health: SourceHealth;
  readonly clock: Clock;
  readonly brokerClock: BrokerClock;
  readonly telemetry: Telemetry;
  readonly keeper: LockKeeper;
  readonly sessions: SessionsSettings;
  /** How many more messages could be admitted. */
  room(): number;
  readonly incoming: IncomingBytes<object>;
  /** The part of one of all that receive of the bytes that may be on their way. */
  part(of: Pick<Receiving, "bringsMost">): number;
  /** What waits in place takes more of the budget of bytes than is left to it. */
  restsTooMuch(): boolean;
  readonly processor: {
    /** The next message of a session becomes its turn's work. `wasAwaited`: it came to a session that had none. */
    arrive(deliveries: readonly Delivery[], wasAwaited: boolean, turn: Turn<Work>): void;
    /** The lock of its session is gone. */
    lockLost(work: Work): void;
  };
  readonly executions: {
    /** It is idle, and is to be found by whoever accepts its session next. */
    putBack(work: Work): void;
  };
}

/** What anyone may see of a source's sessions. */
export interface SessionsView {
  /** Held now. */
  readonly accepted: number;
  /** Of these, without a message at hand. */
  readonly idle: number;
  /** That wait for a place among `concurrentMax`. */
  readonly waiting: number;
  /** Whose message waits for its next try, or for what it needs. */
  readonly resting: number;
}

export class Sessions implements Receiving {
  readonly silentSinceMs = undefined;
  readonly #options: SessionsOptions;
  readonly #pauses = new Set<PauseReason>(["not-started"]);
  readonly #turns = new Set<Turn<Work>>();
  /** In the order in which they wait for a place; those whose message is at hand go first. */
  readonly #waking: Turn<Work>[] = [];
  readonly #ready: Turn<Work>[] = [];
  readonly #resting = new Map<Turn<Work>, number>();
  /** Until when the message of each waits that was let go, monotonic; those let go first come first. */
  readonly #putOff = new Map<string, number>();
  readonly #leaving = new Set<Promise<void>>();
  readonly #bytes: SessionBytes;
  /** Sessions that have a place. */
  #active = 0;
  #accepting = 0;
  /** Accepts in a row that brought a session, and that led to nothing. */
  #streak = 0;
  #inVain = 0;
  #pause: Timer | undefined;
  #look: Timer | undefined;
  #isLookingSoon = false;
  #received = 0;
  #lastReceivedMs = 0;
  #disturbedSinceMs: number | undefined;
  /** When one that waited for a place was let go last. */
  #passedOnMs = Number.NEGATIVE_INFINITY;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#bytes = new SessionBytes(options.incoming, () => options.part(this), options.sessions.concurrentMax);
  }

  get received(): number {
    return this.#received;
  }

  get lastReceivedMs(): number {
    return this.#lastReceivedMs;
  }

  /** Each session that is asked for may bring one. */
  get credit(): number {
    return this.#accepting;
  }

  /** Any session that has a place may ask for one. */
  get bringsMost(): number {
    return this.isPaused ? 0 : this.#options.sessions.concurrentMax;
  }

  get waitsForRoom(): boolean {
    return this.#accepting === 0 || this.#bytes.areShort;
  }

  get isPaused(): boolean {
    return this.#pauses.size > 0;
  }

  view(): SessionsView {
    let idle = 0;
    for (const { stage } of this.#turns) if (stage === "asking") idle += 1;
    return { accepted: this.#turns.size, idle, waiting: this.#ready.length + this.#waking.length, resting: this.#resting.size };
  }

  start(): void {
    this.resume("not-started");
  }

  async stop(): Promise<void> {
    this.pause("stopped");
    this.#pause?.cancel();
    this.#look?.cancel();
    await Promise.all(this.#leaving);
  }

  /** What has no message at hand is let go. */
  pause(why: PauseReason): void {
    this.#pauses.add(why);
    for (const turn of this.#turns) if (turn.work === undefined) this.#leave(turn);
  }

  resume(why: PauseReason): void {
    if (this.#pauses.delete(why)) this.#accept();
  }

  replenish(): void {
    this.#bytes.widen();
    this.#accept();
  }

  /** A session has one message at the most, and none more is taken than there is room for. */
  trim(): void {}

  async rebuild(what: "receiver" | "connection"): Promise<void> {
    if (what === "connection") await this.#options.source.transport.reconnect();
  }

  /** Its message waits: it has no place meanwhile. */
  rest(turn: Turn<Work>, forMs: number): void {
    if (turn.stage !== "working") return;
    this.#move(turn, "resting");
    this.#resting.set(turn, this.#options.clock.monotonicMs() + forMs);
    if (this.#resting.size > restsMax(this.#options.sessions)) this.#letLongestGo(letGoPauseMs);
    else if (this.#resting.size > 1 && this.#options.restsTooMuch()) this.#letLongestGo(largeGoPauseMs);
    this.#fill();
  }

  /** Its message has waited: it goes on once there is a place. */
  wake(turn: Turn<Work>, goOn: () => void): void {
    if (turn.stage !== "resting") return;
    this.#resting.delete(turn);
    turn.goOn = goOn;
    this.#move(turn, "waking");
    this.#waking.push(turn);
    this.#fill();
  }

  /** Its message has ended. */
  ended(turn: Turn<Work>, outcome: FinalOutcome): void {
    turn.work = undefined;
    const isSettled = outcome === "completed" || outcome === "duplicate" || outcome === "dead-lettered";
    if (turn.stage === "gone") return;
    // What was held before says nothing of those that are asked for, while these can't be had.
    const areHad = this.#disturbedSinceMs === undefined && this.#options.health.trouble === undefined;
    if (isSettled && areHad) this.#inVain = 0;
    else if (outcome === "released" && turn.pauseMs > 0) this.#pauseFor(turn.pauseMs);
    else if (outcome === "released") this.#acceptLater();
    if (!isSettled || turn.isLost || turn.isDoubtful || this.#pauses.size > 0) return this.#leave(turn);
    const { clock, sessions } = this.#options;
    const nowMs = clock.monotonicMs();
    const wait = this.#waking.length + this.#ready.length > 0;
    // Without a place it ended without another try, such as when it was called off.
    if (turn.hasPlace && goesOn(turn.view(nowMs), wait || isLately(nowMs - this.#passedOnMs), sessions)) return this.#ask(turn);
    // Those that it gives way to were let go: they are asked for at once.
    if (turn.hasPlace && !wait && areHad) this.#endPause();
    this.#leave(turn);
  }

  #accept(): void {
    if (this.#pauses.size > 0 || this.#pause !== undefined) return;
    const { sessions, clock } = this.#options;
    const free = sessions.concurrentMax - this.#active - this.#waking.length;
    const nowMs = clock.monotonicMs();
    const isFull = free <= 0;
    const wanted = acceptsWanted({
      free,
      room: isFull ? 0 : this.#active === 0 ? Math.max(1, this.#options.room()) : this.#options.room(),
      waiting: this.#ready.length,
      someGiveWay: isFull && [...this.#turns].some((turn) => turn.hasPlace && wouldGiveWay(turn.view(nowMs), sessions)),
      streak: this.#streak,
    });
    while (this.#accepting < wanted) {
      this.#accepting += 1;
      void this.#acceptNext(isFull ? swapWaitMs : acceptWaitMs);
    }
  }

  async #acceptNext(waitMs: number): Promise<void> {
    const { source, clock } = this.#options;
    const askedMs = clock.monotonicMs();
    let session: HeldSession | undefined;
    try {
      session = await source.transport.acceptSession(waitMs);
    } catch (error) {
      this.#accepting -= 1;
      this.#streak = 0;
      return this.#disturbed(error);
    }
    this.#accepting -= 1;
    this.#served();
    if (session === undefined) {
      this.#streak = 0;
      // Whoever does not wait for one is not asked again at once.
      if (clock.monotonicMs() - askedMs < dryAfterMs) this.#acceptLater();
    } else {
      this.#streak += 1;
      this.#granted(session);
    }
    this.#accept();
  }

  /** It was answered, with a session or without: nothing need come of it. */
  #served(): void {
    const { clock, telemetry, source, health } = this.#options;
    health.served();
    if (this.#disturbedSinceMs === undefined) return;
    telemetry.emit({ type: "transport.recovered", source: source.name, afterMs: Math.round(clock.monotonicMs() - this.#disturbedSinceMs) });
    this.#disturbedSinceMs = undefined;
  }

  #disturbed(error: unknown): void {
    if (this.#pauses.has("stopped")) return;
    const { clock, health } = this.#options;
    if (health.disturbed(error)) this.#disturbedSinceMs ??= clock.monotonicMs();
    this.#acceptLater(error instanceof TransportError ? error.retryAfterMs : undefined, pauseMaxMsAfter(error));
  }

  #endPause(): void {
    this.#pause?.cancel();
    this.#pause = undefined;
  }

  #acceptLater(atLeastMs = 0, pauseMaxMs?: number): void {
    // Several that were asked for at once, and could not be had, are one failure.
    if (this.#pause === undefined) this.#inVain += 1;
    this.#pauseFor(Math.max(atLeastMs, acceptPauseMs(this.#inVain, pauseMaxMs)));
  }

  #pauseFor(pauseMs: number): void {
    if (this.#pauses.has("stopped")) return;
    this.#pause ??= this.#options.clock.after(pauseMs, () => {
      this.#pause = undefined;
      this.#accept();
    });
  }

  #granted(session: HeldSession): void {
    const { clock, brokerClock, keeper, sessions, source } = this.#options;
    const turn = new Turn<Work>(session, sessions.onFailure, clock.monotonicMs());
    session.listen({
      delivery: (delivery) => this.#arrived(turn, delivery),
      lost: () => this.#lost(turn),
      bytesRoom: (arrivingBytes) => this.#bytesRoom(turn, arrivingBytes),
    });
    if (this.#pauses.size > 0) return this.#letGo(turn);
    if (this.#isPutOff(session)) {
      this.#pauseFor(putOffPauseMs * (1 + this.#accepting));
      return this.#letGo(turn);
    }
    const lockMs = brokerClock.lockLeftMs(session.lockedUntilMs);
    keeper.arrived(source, lockMs);
    turn.lockUntilMs = clock.monotonicMs() + lockMs;
    this.#turns.add(turn);
    this.#ready.push(turn);
    if (this.#look === undefined) this.#lookAfter(slowLookMs);
    if (this.#active >= sessions.concurrentMax) {
      const driest = this.#driest();
      if (driest !== undefined) return this.#leave(driest);
    }
    this.#fill();
  }

  /** Its first message waits for its next try, which nobody begins before: there is no need to have it to know that. */
  #isPutOff({ id }: HeldSession): boolean {
    const untilMs = this.#putOff.get(id);
    if (untilMs === undefined) return false;
    if (untilMs > this.#options.clock.monotonicMs()) return true;
    this.#putOff.delete(id);
    return false;
  }

  #putOffUntil({ id }: HeldSession, untilMs: number): void {
    this.#putOff.delete(id);
    this.#putOff.set(id, untilMs);
    if (this.#putOff.size <= putOffMax) return;
    for (const first of this.#putOff.keys()) return void this.#putOff.delete(first);
  }

  /** Of the sessions without a message the one that has been so for longest, if that is long enough. */
  #driest(): Turn<Work> | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    let found: Turn<Work> | undefined;
    for (const turn of this.#turns) if (isDry(turn.view(nowMs)) && (found === undefined || turn.askedMs < found.askedMs)) found = turn;
    return found;
  }

  /** Places go to those whose message is at hand, then to sessions that were accepted, then to others. */
  #fill(): void {
    const { concurrentMax } = this.#options.sessions;
    while (this.#active < concurrentMax) {
      const waking = this.#waking.shift();
      if (waking !== undefined) {
        this.#move(waking, "working");
        waking.goOn();
        continue;
      }
      const ready = this.#pauses.size > 0 ? undefined : this.#ready.shift();
      if (ready === undefined) break;
      ready.startedMs = this.#options.clock.monotonicMs();
      this.#ask(ready);
    }
    this.#accept();
  }

  #ask(turn: Turn<Work>): void {
    const { clock, brokerClock } = this.#options;
    this.#move(turn, "asking");
    turn.askedMs = clock.monotonicMs();
    turn.isHeldBack = false;
    // It was renewed with its message.
    turn.lockUntilMs = turn.askedMs + brokerClock.lockLeftMs(turn.session.lockedUntilMs);
    this.#lookSoon();
    turn.session.receive();
  }

  #arrived(turn: Turn<Work>, delivery: Delivery): void {
    const { clock, health } = this.#options;
    this.#bytes.whole(turn.session);
    if (turn.stage !== "asking") return;
    const nowMs = clock.monotonicMs();
    this.#received += 1;
    this.#lastReceivedMs = clock.monotonicMs();
    health.served();
    this.#move(turn, "working");
    const waitedMs = nowMs - turn.askedMs;
    if (!turn.isHeldBack) turn.tripMs ??= waitedMs;
    this.#options.processor.arrive([delivery], !turn.isHeldBack && waitedMs >= awaitedAfterMs, turn);
  }

  /** What comes slowly is no silence; and when it was sent is not to be seen from when it comes. */
  #bytesRoom(turn: Turn<Work>, arrivingBytes: number): number {
    const room = this.#bytes.room(turn.session, arrivingBytes);
    turn.isHeldBack ||= arrivingBytes > 0 || this.#bytes.isShort(turn.session);
    if (arrivingBytes > 0) turn.askedMs = this.#options.clock.monotonicMs();
    return room;
  }

  #lost(turn: Turn<Work>): void {
    turn.isLost = true;
    this.#bytes.whole(turn.session);
    const { work } = turn;
    if (work === undefined) return this.#leave(turn);
    if (work.lockLost) return;
    work.lockLost = true;
    this.#options.processor.lockLost(work);
  }

  #move(turn: Turn<Work>, stage: TurnStage): void {
    const had = turn.hasPlace;
    turn.stage = stage;
    this.#active += Number(turn.hasPlace) - Number(had);
  }

  /** It is let go, and its place goes to another. */
  #leave(turn: Turn<Work>): void {
    if (turn.stage === "gone") return;
    this.#turns.delete(turn);
    this.#resting.delete(turn);
    for (const list of [this.#ready, this.#waking]) {
      const at = list.indexOf(turn);
      if (at >= 0) list.splice(at, 1);
    }
    this.#letGo(turn);
    this.#fill();
  }

  #letGo(turn: Turn<Work>): void {
    this.#move(turn, "gone");
    this.#bytes.whole(turn.session);
    const leaving = turn.session.release();
    this.#leaving.add(leaving);
    void leaving.finally(() => this.#leaving.delete(leaving));
  }

  #letLongestGo(pauseMs: number): void {
    let longest: Turn<Work> | undefined;
    let untilMs = 0;
    for (const [turn, restsUntilMs] of this.#resting) {
      if (restsUntilMs <= untilMs) continue;
      longest = turn;
      untilMs = restsUntilMs;
    }
    if (longest?.work === undefined) return;
    this.#resting.delete(longest);
    longest.pauseMs = pauseMs;
    this.#putOffUntil(longest.session, untilMs);
    this.#options.executions.putBack(longest.work);
  }

  /** Some session may turn out to be dry. */
  #lookSoon(): void {
    if (this.#isLookingSoon) return;
    this.#isLookingSoon = true;
    this.#look?.cancel();
    this.#lookAfter(lookMs);
  }

  #lookAfter(delayMs: number): void {
    this.#look = this.#options.clock.after(delayMs, () => {
      this.#look = undefined;
      this.#isLookingSoon = false;
      this.#lookAtTurns();
      if (this.#look !== undefined || this.#turns.size === 0) return;
      if ([...this.#turns].some(({ stage }) => stage === "asking")) this.#lookSoon();
      else this.#lookAfter(slowLookMs);
    });
  }

  #lookAtTurns(): void {
    const { clock, sessions, source } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#bytes.widen();
    for (const turn of this.#turns) {
      if (turn.work !== undefined) continue;
      if (isIdle(turn.view(nowMs), sessions)) this.#leave(turn);
      else if (turn.stage === "ready" && isPassedOn(nowMs - turn.acceptedMs)) this.#passOn(turn, nowMs);
      else if (!turn.isRenewing && turn.lockUntilMs - nowMs < source.lockMs * renewBelow) void this.#renew(turn);
    }
    this.#giveWay();
    this.#accept();
  }

  #passOn(turn: Turn<Work>, nowMs: number): void {
    this.#passedOnMs = nowMs;
    this.#pauseFor(passedOnPauseMs);
    this.#leave(turn);
  }

  /** Those without a message make room for those that wait for a place. */
  #giveWay(): void {
    for (let waiting = this.#waking.length + this.#ready.length; waiting > 0; waiting -= 1) {
      const driest = this.#driest();
      if (driest === undefined) return;
      this.#leave(driest);
    }
  }

  async #renew(turn: Turn<Work>): Promise<void> {
    const { clock, brokerClock } = this.#options;
    turn.isRenewing = true;
    const result = await turn.session.renew();
    turn.isRenewing = false;
    const nowMs = clock.monotonicMs();
    if (result.kind === "renewed") turn.lockUntilMs = nowMs + brokerClock.lockLeftMs(result.lockedUntilMs);
    else if (turn.work === undefined && (result.kind === "lock-lost" || nowMs >= turn.lockUntilMs)) this.#leave(turn);
  }
}
