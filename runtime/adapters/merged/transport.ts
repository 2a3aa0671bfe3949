/**
 * Two sources that are read as one: an entity, and the private queue to which the copies of its messages to retry are sent.
 *
 * Credit cannot be taken back once it is with a source, and a source may have nothing to bring for hours. So the retry
 * source gets a small part, which bounds what it can hold idle, and the main one never goes without for its sake: while
 * there is but one credit in all it is the main source's, save for every tenth, without which a worker that is always full
 * would never see a copy. Whoever grants must be able to grant two or more when idle, or that tenth would be waited for.
 */
import type { Delivery } from "../../core/delivery.ts";
import type { Receiver, ReceiverListener, RenewResult, SettleOrder, SettleResult, Transport } from "../../ports/transport.ts";

/** One credit in this many is for the retry source. */
const retryShare = 10;
/** The most credit that is with the retry source at once. */
const retryCreditMax = 32;

/** Receives from `main` and from `retry`; what was received is settled and renewed where it came from. */
export function mergeTransports(main: Transport, retry: Transport): Transport {
  return new MergedTransport(main, retry);
}

class MergedTransport implements Transport {
  readonly #main: Transport;
  readonly #retry: Transport;
  /** Deliveries that came from the retry source; all others are the main one's. */
  readonly #retried = new WeakSet<Delivery>();

  constructor(main: Transport, retry: Transport) {
    this.#main = main;
    this.#retry = retry;
  }

  async start(): Promise<void> {
    const [main, retry] = await Promise.allSettled([this.#main.start(), this.#retry.start()]);
    const failed = main.status === "rejected" ? main : retry;
    if (failed.status === "fulfilled") return;
    await this.stop();
    throw failed.reason;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#main.stop(), this.#retry.stop()]);
  }

  openReceiver(listener: ReceiverListener): Receiver {
    return new MergedReceiver(this.#main, this.#retry, {
      deliveries: (batch) => listener.deliveries(batch),
      retried: (batch) => {
        for (const delivery of batch) this.#retried.add(delivery);
        listener.deliveries(batch);
      },
      disturbed: (error) => listener.disturbed(error),
    });
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
    const found = await Promise.all([this.#main.hasBacklog(), this.#retry.hasBacklog()]);
    return found.includes(true);
  }

  /** Asks each source once, for what is its own; the results are in the order of `items`. */
  async #each<Item, Result>(items: readonly Item[], isRetried: (item: Item) => boolean, ask: (source: Transport, part: readonly Item[]) => Promise<readonly Result[]>): Promise<readonly Result[]> {
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
}

class MergedReceiver implements Receiver {
  readonly #main: Receiver;
  readonly #retry: Receiver;
  /** Credit that is with each source and has brought nothing yet. */
  #mainCredit = 0;
  #retryCredit = 0;
  /** Credits that went to the main source since one last went to the retry source. */
  #sinceRetry = 0;
  #stopping = false;

  constructor(main: Transport, retry: Transport, listener: MergedListener) {
    const disturbed: ReceiverListener["disturbed"] = (error) => listener.disturbed(error);
    this.#main = main.openReceiver({
      deliveries: (batch) => {
        this.#mainCredit -= batch.length;
        listener.deliveries(batch);
      },
      disturbed,
    });
    this.#retry = retry.openReceiver({
      deliveries: (batch) => {
        this.#retryCredit -= batch.length;
        listener.retried(batch);
      },
      disturbed,
    });
  }

  addCredit(count: number): void {
    if (this.#stopping) return;
    const forRetry = this.#forRetry(count);
    const forMain = count - forRetry;
    this.#mainCredit += forMain;
    this.#retryCredit += forRetry;
    this.#sinceRetry = forRetry > 0 ? 0 : this.#sinceRetry + forMain;
    if (forMain > 0) this.#main.addCredit(forMain);
    if (forRetry > 0) this.#retry.addCredit(forRetry);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([this.#main.stop(), this.#retry.stop()]);
  }

  /** How much of the credit that is added goes to the retry source. */
  #forRetry(count: number): number {
    const total = this.#mainCredit + this.#retryCredit + count;
    if (total === 1) return this.#sinceRetry >= retryShare - 1 ? 1 : 0;
    const share = Math.max(1, Math.min(retryCreditMax, Math.floor(total / retryShare)));
    return Math.max(0, Math.min(count, share - this.#retryCredit));
  }
}
