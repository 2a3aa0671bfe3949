/**
 * Receiving through `receiveMessages`: less work a message than `subscribe`, but messages wait until the batch is full or its
 * time is over, so it is for times when much comes. Each call asks for the credit there is. A call is never aborted, because
 * the SDK would drop what it has buffered; it is kept short instead.
 */
import type { ServiceBusReceivedMessage } from "@azure/service-bus";
import { TransportError } from "../../core/errors.ts";
import { transportErrorOf } from "./errors.ts";
import type { Intake, IntakeEnd, IntakeOptions } from "./intake.ts";
import { batchCreditMin, batchWaitMs, thinBatchesMax } from "./limits.ts";
import { Signal } from "./signal.ts";

export class BatchIntake implements Intake {
  readonly #options: IntakeOptions;
  readonly #ended = new Signal<IntakeEnd>();
  #thin = 0;
  #creditAdded: () => void = () => {};

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  async run(): Promise<IntakeEnd> {
    while (this.#ended.value === undefined) {
      const { credit } = this.#options;
      if (credit.available === 0) await this.#creditOrEnd();
      else await this.#receive();
    }
    return this.#ended.value;
  }

  creditAdded(): void {
    this.#creditAdded();
  }

  end(why: IntakeEnd): void {
    this.#ended.set(why);
    this.#creditAdded();
  }

  async #receive(): Promise<void> {
    const { link, credit, creditMax } = this.#options;
    const asked = credit.take(creditMax);
    let messages: readonly ServiceBusReceivedMessage[];
    try {
      messages = await link.receiver.receiveMessages(asked, { maxWaitTimeInMs: batchWaitMs });
    } catch (error) {
      credit.add(asked);
      this.end({ kind: "lost", error: transportErrorOf("to receive", error) });
      return;
    }
    this.#options.opened();
    credit.add(Math.max(0, asked - messages.length));
    messages.forEach((message, index) => this.#take(message, index < asked));
    if (link.isReattached)
      this.end({ kind: "lost", error: new TransportError("expected the receiving link to stay attached, found another in its place; it is opened again") });
    else if (link.isWornOut) this.end({ kind: "worn-out" });
    this.#thin = messages.length < asked || asked < batchCreditMin ? this.#thin + 1 : 0;
    if (messages.length === 0 || this.#thin >= thinBatchesMax) this.end({ kind: "quiet" });
  }

  #take(message: ServiceBusReceivedMessage, wasAsked: boolean): void {
    if (wasAsked || this.#options.credit.take(1) === 1) this.#options.arrived(message);
    else this.#options.surplus(message);
  }

  /** Credit comes in small pieces; the pieces of one turn are asked for together. */
  async #creditOrEnd(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#creditAdded = resolve;
    });
    await new Promise<void>((resolve) => this.#options.clock.soon(resolve));
  }
}
