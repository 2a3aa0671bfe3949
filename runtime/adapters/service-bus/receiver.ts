import type { ServiceBusReceivedMessage } from "@azure/service-bus";
import type { Clock, Timer } from "../../core/clock.ts";
import type { TransportError } from "../../core/errors.ts";
import { pauseMaxMsAfter, reopenPauseMs } from "../../core/reopen-pause.ts";
import type { Receiver, ReceiverListener } from "../../ports/transport.ts";
import { BatchIntake } from "./batch-intake.ts";
import { Credit } from "./credit.ts";
import type { ServiceBusDelivery } from "./delivery.ts";
import type { Intake, IntakeEnd, IntakeOptions } from "./intake.ts";
import { linksMax, stopTimeoutMs } from "./limits.ts";
import type { Link } from "./link.ts";
import { LoadGauge } from "./load-gauge.ts";
import { SettleGroup } from "./settling.ts";
import { StreamIntake } from "./stream-intake.ts";
import { settledWithin } from "../support/waiting.ts";

export interface LinkReceiverOptions {
  readonly listener: ReceiverListener;
  readonly creditMax: number;
  readonly clock: Clock;
  /** Called once. */
  stopped(receiver: LinkReceiver): void;
  newLink(isStarved: () => boolean, closed: (link: Link) => void): Link;
}

/** Receives over a succession of links, one at a time; those that were replaced stay until their deliveries are settled. */
export class LinkReceiver implements Receiver {
  readonly #options: LinkReceiverOptions;
  readonly #credit = new Credit();
  readonly #links = new Set<Link>();
  readonly #gauge: LoadGauge;
  #intake: Intake | undefined;
  /** Credit that was granted and has not brought a message yet. */
  #owed = 0;
  #arrived: ServiceBusDelivery[] = [];
  #surplus: ServiceBusDelivery[] = [];
  #handing = false;
  #failures = 0;
  #mode: "stream" | "batch" = "stream";
  #stopping = false;
  #stopped: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  /** Ends whatever the loop waits for between two intakes. */
  #wake: () => void = () => {};

  constructor(options: LinkReceiverOptions) {
    this.#options = options;
    this.#gauge = new LoadGauge(options.clock);
  }

  addCredit(count: number): void {
    if (this.#stopping) return;
    this.#credit.add(count);
    this.#owed += count;
    this.#intake?.creditAdded();
    this.#running ??= this.#run();
    this.#wake();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    this.#intake?.end({ kind: "stopped" });
    this.#wake();
    // A client that hangs must not keep the worker from stopping; what it still brings is then left to its lock.
    if (this.#running !== undefined) await settledWithin(this.#options.clock, stopTimeoutMs, this.#running);
    const batch = this.#arrived.splice(0);
    // Even now: given back by this client, it would count as a delivery.
    if (batch.length > 0) this.#options.listener.deliveries(batch);
    await giveBack(this.#surplus.splice(0));
    for (const link of this.#links) link.retire();
    this.#options.stopped(this);
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      if (this.#credit.available === 0 || this.#links.size >= linksMax) {
        await this.#woken();
        continue;
      }
      const link = this.#options.newLink(
        () => this.#owed === 0,
        (closed) => {
          this.#links.delete(closed);
          this.#wake();
        },
      );
      this.#links.add(link);
      this.#intake = this.#newIntake(link);
      const end = await this.#intake.run();
      this.#intake = undefined;
      await this.#leave(link, end);
    }
  }

  #newIntake(link: Link): Intake {
    const { creditMax, clock } = this.#options;
    const options: IntakeOptions = {
      link,
      credit: this.#credit,
      creditMax,
      clock,
      arrived: (message) => this.#arrive(link, message),
      surplus: (message) => {
        this.#surplus.push(link.arrived(message));
        this.#handOverSoon();
      },
      opened: () => {
        this.#failures = 0;
        if (!this.#stopping) this.#options.listener.opened?.();
      },
      disturbed: (error) => this.#disturbed(error),
    };
    return this.#mode === "batch" ? new BatchIntake(options) : new StreamIntake(options);
  }

  async #leave(link: Link, end: IntakeEnd): Promise<void> {
    if (end.kind === "busy") this.#mode = "batch";
    if (end.kind === "quiet") {
      this.#mode = "stream";
      this.#gauge.turnedQuiet();
    }
    if (end.kind !== "lost") {
      link.retire();
      return;
    }
    link.lose();
    this.#disturbed(end.error);
    const pauseMs = end.error.retryAfterMs ?? reopenPauseMs(this.#failures, pauseMaxMsAfter(end.error));
    this.#failures += 1;
    if (!this.#stopping) await this.#pause(pauseMs);
  }

  #arrive(link: Link, message: ServiceBusReceivedMessage): void {
    this.#arrived.push(link.arrived(message));
    this.#owed -= 1;
    this.#handOverSoon();
  }

  #handOverSoon(): void {
    if (this.#handing) return;
    this.#handing = true;
    this.#options.clock.soon(this.#handOver);
  }

  readonly #handOver = (): void => {
    this.#handing = false;
    if (this.#stopping) return;
    const batch = this.#arrived;
    this.#arrived = [];
    const surplus = this.#surplus.splice(0);
    if (surplus.length > 0) void giveBack(surplus);
    if (batch.length === 0) return;
    if (this.#mode === "stream" && this.#gauge.isBusy(batch.length)) this.#intake?.end({ kind: "busy" });
    this.#options.listener.deliveries(batch);
  };

  #disturbed(error: TransportError): void {
    if (!this.#stopping) this.#options.listener.disturbed(error);
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Waits, unless the receiver is stopped meanwhile. */
  #pause(pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer: Timer = this.#options.clock.after(pauseMs, resolve);
      this.#wake = () => {
        if (!this.#stopping) return;
        timer.cancel();
        resolve();
      };
    });
  }
}

/** Abandons deliveries that came without credit; the listener never saw them. */
async function giveBack(deliveries: readonly ServiceBusDelivery[]): Promise<void> {
  const group = new SettleGroup(deliveries.length);
  deliveries.forEach((delivery, index) => {
    delivery.ordered = true;
    delivery.home.settle({ verb: "abandon", delivery }, delivery, group, index);
  });
  await group.whenAll;
}
