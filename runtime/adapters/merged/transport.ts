/**
 * Two sources that are read as one: an entity, and the private queue to which the copies of its messages to retry are sent.
 *
 * Credit cannot be taken back once it is with a source, short of closing its receiver, and a source may have nothing to bring
 * for hours. So the retry source gets a small part, which bounds what it can hold idle, and the main one never goes without
 * for its sake.
 *
 * A worker that can hold but one message more grants a single credit, and whoever has that keeps the other source waiting. It
 * goes to the main source, save when a look, one for every few credits, has found something in the retry source. When it lies
 * idle, the other source is looked at now and then, and the credit moves there if that has something to bring.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import type { Delivery } from "../../core/delivery.ts";
import type { HeldSession, Receiver, ReceiverListener, RenewResult, SettleOrder, SettleResult, Transport } from "../../ports/transport.ts";

/** One credit in this many is for the retry source. */
const retryShare = 10;
/** A single credit that has lain idle for so long may be of more use with the other source. */
const loneLookMs = 1_000;
/** The least of the bytes on their way that are for the retry source, where that is no more than half: two frames, as they come. */
const retryBytesMin = 131_072;
/** The most credit that is with the retry source at once. */
const retryCreditMax = 32;

/** Receives from `main` and from `retry`; what was received is settled and renewed where it came from. */
export function mergeTransports(main: Transport, retry: Transport, clock: Clock): Transport {
  return new MergedTransport(main, retry, clock, false);
}

/** Takes sessions from `main`, and receives from `retry`. */
export function readBesideSessions(main: Transport, retry: Transport, clock: Clock): Transport {
  return new MergedTransport(main, retry, clock, true);
}

class MergedTransport implements Transport {
  readonly releaseIsFree: boolean;
  readonly #main: Transport;
  readonly #retry: Transport;
  readonly #clock: Clock;
  /** Its main source gives its messages to holders of sessions alone. */
  readonly #readsSessions: boolean;
  /** Deliveries that came from the retry source; all others are the main one's. */
  readonly #retried = new WeakSet<Delivery>();
  readonly #receivers = new Set<MergedReceiver>();
  /** It may be started again when one of them could not be. */
  readonly #started = new Set<Transport>();

  constructor(main: Transport, retry: Transport, clock: Clock, readsSessions: boolean) {
    this.#readsSessions = readsSessions;
    this.releaseIsFree = main.releaseIsFree && retry.releaseIsFree;
    this.#main = main;
    this.#retry = retry;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    const parts = [this.#main, this.#retry].filter((part) => !this.#started.has(part));
    const results = await Promise.allSettled(parts.map((part) => part.start().then(() => this.#started.add(part))));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async stop(): Promise<void> {
    for (const receiver of this.#receivers) receiver.quiesce();
    await Promise.all([this.#main.stop(), this.#retry.stop()]);
  }

  requiresSessions(): Promise<boolean | undefined> {
    return this.#main.requiresSessions();
  }

  acceptSession(waitMs: number): Promise<HeldSession | undefined> {
    return this.#main.acceptSession(waitMs);
  }

  openReceiver(listener: ReceiverListener): Receiver {
    const retried = (batch: readonly Delivery[]): void => {
      for (const delivery of batch) this.#retried.add(delivery);
      listener.deliveries(batch);
    };
    const bytesRoom = (arrivingBytes: number): number => roomOf(listener, arrivingBytes);
    if (this.#readsSessions) {
      return this.#retry.openReceiver({ deliveries: retried, disturbed: (error) => listener.disturbed(error), opened: () => listener.opened?.(), bytesRoom });
    }
    const receiver = new MergedReceiver(this.#main, this.#retry, this.#clock, {
      deliveries: (batch) => listener.deliveries(batch),
      retried,
      disturbed: (error) => listener.disturbed(error),
      opened: () => listener.opened?.(),
      bytesRoom,
      stopped: () => void this.#receivers.delete(receiver),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  settle(orders: readonly SettleOrder[]): Promise<readonly SettleResult[]> {
    return this.#each(
      orders,
      (order) => this.#retried.has(order.delivery),
      (source, part) => source.settle(part),
    );
  }

  renew(deliveries: readonly Delivery[]): Promise<readonly RenewResult[]> {
    return this.#each(
      deliveries,
      (delivery) => this.#retried.has(delivery),
      (source, part) => source.renew(part),
    );
  }

  async reconnect(): Promise<void> {
    await Promise.all([this.#main.reconnect(), this.#retry.reconnect()]);
  }

  async hasBacklog(): Promise<boolean> {
    // What waits in sessions says nothing of a receiver that reads the other alone.
    if (this.#readsSessions) return this.#retry.hasBacklog();
    const found = await Promise.all([this.#main.hasBacklog(), this.#retry.hasBacklog()]);
    return found.includes(true);
  }

  /** Asks each source once, for what is its own; the results are in the order of `items`. */
  async #each<Item, Result>(
    items: readonly Item[],
    isRetried: (item: Item) => boolean,
    ask: (source: Transport, part: readonly Item[]) => Promise<readonly Result[]>,
  ): Promise<readonly Result[]> {
    const retried = items.filter(isRetried);
    if (retried.length === 0) return ask(this.#main, items);
    if (retried.length === items.length) return ask(this.#retry, items);
    const others = items.filter((item) => !isRetried(item));
    const [ofMain, ofRetry] = await Promise.all([ask(this.#main, others), ask(this.#retry, retried)]);
    let nextOfMain = 0;
    let nextOfRetry = 0;
    return items.map((item) => (isRetried(item) ? ofRetry[nextOfRetry++]! : ofMain[nextOfMain++]!));
  }
}

interface MergedListener extends ReceiverListener {
  /** Deliveries of the retry source. */
  retried(batch: readonly Delivery[]): void;
  stopped(): void;
}

type SourceListener = Required<Pick<ReceiverListener, "disturbed" | "opened" | "bytesRoom">>;

/** How much of the bytes that may be on their way is for the retry source. */
function retryBytesOf(bytes: number): number {
  return Math.min(bytes / 2, Math.max(retryBytesMin, bytes / retryShare));
}

/** Whoever does not say does not bound it. */
function roomOf(listener: Pick<ReceiverListener, "bytesRoom">, arrivingBytes: number): number {
  return listener.bytesRoom?.(arrivingBytes) ?? Number.POSITIVE_INFINITY;
}

/** One of the two, with the receiver it is read by at present. */
class Source {
  readonly transport: Transport;
  readonly #listener: ReceiverListener;
  #receiver: Receiver;
  /** Credit that is with it and has brought nothing yet. */
  credit = 0;
  /** The broker does not serve it. */
  isDisturbed = false;
  /** Of a message that is not whole. */
  arrivingBytes = 0;

  constructor(transport: Transport, listener: SourceListener, arrived: (batch: readonly Delivery[]) => void) {
    this.transport = transport;
    this.#listener = {
      deliveries: (batch) => {
        this.credit -= batch.length;
        // What came in part is whole now.
        this.arrivingBytes = 0;
        arrived(batch);
      },
      disturbed: (error) => {
        this.isDisturbed = true;
        this.arrivingBytes = 0;
        listener.disturbed(error);
      },
      bytesRoom: (arrivingBytes) => {
        this.arrivingBytes = arrivingBytes;
        return listener.bytesRoom(arrivingBytes);
      },
      opened: () => {
        this.isDisturbed = false;
        listener.opened();
      },
    };
    this.#receiver = transport.openReceiver(this.#listener);
  }

  addCredit(count: number): void {
    if (count === 0) return;
    this.credit += count;
    this.#receiver.addCredit(count);
  }

  widen(): void {
    this.#receiver.widen?.();
  }

  /** Takes back what credit is left; what comes meanwhile is handed out and has spent its own. */
  async takeBack(): Promise<number> {
    await this.#receiver.stop();
    const { credit } = this;
    this.credit = 0;
    return credit;
  }

  open(): void {
    this.#receiver = this.transport.openReceiver(this.#listener);
  }

  stop(): Promise<void> {
    return this.#receiver.stop();
  }
}

class MergedReceiver implements Receiver {
  readonly #main: Source;
  readonly #retry: Source;
  readonly #clock: Clock;
  readonly #listener: MergedListener;
  /** Credits that went to the main source since one last went to the retry source, or since that was last looked at. */
  #sinceRetry = 0;
  /** A look has found something in the retry source. */
  #isRetryDue = false;
  #received = 0;
  #loneLook: Timer | undefined;
  /** Credit that was granted while a credit is moved. */
  #waiting = 0;
  #moving: Promise<void> | undefined;
  #stopping = false;

  constructor(main: Transport, retry: Transport, clock: Clock, listener: MergedListener) {
    this.#clock = clock;
    this.#listener = listener;
    // One that is served says nothing of the other.
    const newsOf = (other: () => Source, partOf: (bytes: number) => number): SourceListener => ({
      disturbed: (error) => listener.disturbed(error),
      opened: () => {
        if (!this.#main.isDisturbed && !this.#retry.isDisturbed) listener.opened?.();
      },
      // What comes of the other takes its part, and what may yet come of it has one of its own: it is not asked when this grows.
      bytesRoom: (arrivingBytes) => {
        const otherBytes = other().arrivingBytes;
        const room = roomOf(listener, arrivingBytes + otherBytes) - otherBytes;
        return room <= arrivingBytes ? room : arrivingBytes + partOf(room - arrivingBytes);
      },
    });
    this.#main = new Source(
      main,
      newsOf(
        () => this.#retry,
        (bytes) => (bytes === Number.POSITIVE_INFINITY ? bytes : bytes - retryBytesOf(bytes)),
      ),
      (batch) => {
        this.#received += batch.length;
        listener.deliveries(batch);
      },
    );
    this.#retry = new Source(
      retry,
      newsOf(() => this.#main, retryBytesOf),
      (batch) => {
        this.#received += batch.length;
        listener.retried(batch);
      },
    );
  }

  addCredit(count: number): void {
    if (this.#stopping) return;
    if (this.#moving !== undefined) {
      this.#waiting += count;
      return;
    }
    const forRetry = this.#forRetry(count);
    const forMain = count - forRetry;
    this.#sinceRetry = forRetry > 0 ? 0 : this.#sinceRetry + forMain;
    this.#main.addCredit(forMain);
    this.#retry.addCredit(forRetry);
    if (this.#isLone) this.#watchLone();
  }

  widen(): void {
    this.#main.widen();
    this.#retry.widen();
  }

  /** Moves no credit any more, and looks at nothing. */
  quiesce(): void {
    this.#stopping = true;
    this.#loneLook?.cancel();
  }

  async stop(): Promise<void> {
    this.quiesce();
    await this.#moving;
    await Promise.all([this.#main.stop(), this.#retry.stop()]);
    this.#listener.stopped();
  }

  get #isLone(): boolean {
    return this.#main.credit + this.#retry.credit === 1;
  }

  /** How much of the credit that is added goes to the retry source. */
  #forRetry(count: number): number {
    const total = this.#main.credit + this.#retry.credit + count;
    if (total === 1) return this.#loneForRetry();
    const share = Math.max(1, Math.min(retryCreditMax, Math.floor(total / retryShare)));
    return Math.max(0, Math.min(count, share - this.#retry.credit));
  }

  #loneForRetry(): 0 | 1 {
    if (this.#isRetryDue) {
      this.#isRetryDue = false;
      return 1;
    }
    if (this.#sinceRetry >= retryShare - 1) {
      this.#sinceRetry = 0;
      void hasSomething(this.#retry).then((found) => {
        this.#isRetryDue = found;
      });
    }
    return 0;
  }

  /** One timer at most, for as long as there is but one credit. */
  #watchLone(): void {
    const receivedBefore = this.#received;
    this.#loneLook ??= this.#clock.after(loneLookMs, () => {
      this.#loneLook = undefined;
      if (!this.#isLone || this.#moving !== undefined) return;
      if (this.#received !== receivedBefore) this.#watchLone();
      else void this.#lookAtOther();
    });
  }

  async #lookAtOther(): Promise<void> {
    const [from, to] = this.#main.credit > 0 ? [this.#main, this.#retry] : [this.#retry, this.#main];
    const receivedBefore = this.#received;
    const found = await hasSomething(to);
    if (this.#stopping || !this.#isLone || this.#moving !== undefined) return;
    if (!found || this.#received !== receivedBefore) return this.#watchLone();
    this.#moving = this.#move(from, to);
    await this.#moving;
    this.#moving = undefined;
    const waiting = this.#waiting;
    this.#waiting = 0;
    if (waiting > 0) this.addCredit(waiting);
    else if (this.#isLone) this.#watchLone();
  }

  async #move(from: Source, to: Source): Promise<void> {
    const credit = await from.takeBack();
    if (this.#stopping) return;
    from.open();
    to.addCredit(credit);
  }
}

/** A source that cannot be looked at reports its trouble elsewhere. */
function hasSomething(source: Source): Promise<boolean> {
  return source.transport.hasBacklog().catch(() => false);
}
