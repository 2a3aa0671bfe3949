/**
 * Receiving through `subscribe`: messages come as soon as the broker has them.
 *
 * The SDK gives a link `maxConcurrentCalls` credits when it attaches and one more whenever a handler ends. So a handler ends
 * when, and only when, there is credit to replace the one its message spent: at once while credit is left, else when
 * `creditAdded` finds some. The window is the credit there is when the link opens; when more lies idle later, the AMQP link
 * itself is given it, or, if it cannot be reached, a wider one is opened. Handlers that are left when the subscription ends
 * never end: nothing refers to them any more, and ending them would only make the SDK throw and catch an error for each.
 *
 * When a link breaks, the SDK attaches again by itself, with the whole window again and with settlements of the old link's
 * deliveries going astray. `preInitialize`, which it calls before it attaches, is where we step in: the second call means that
 * the first attachment is gone, and we end the subscription.
 */
import type { MessageHandlers, ProcessErrorArgs, ServiceBusReceivedMessage } from "@azure/service-bus";
import { TransportError } from "../../core/errors.ts";
import { transportErrorOf } from "./errors.ts";
import type { Intake, IntakeEnd, IntakeOptions } from "./intake.ts";
import { closeTimeoutMs } from "./limits.ts";
import { Signal } from "./signal.ts";
import { settledWithin } from "../support/waiting.ts";

/** Handlers of the SDK that its public types leave out. */
interface StreamHandlers extends MessageHandlers {
  preInitialize(): Promise<void>;
  postInitialize(): Promise<void>;
}

interface Subscription {
  close(): Promise<void>;
}

export class StreamIntake implements Intake {
  readonly #options: IntakeOptions;
  readonly #ended = new Signal<IntakeEnd>();
  /** Handlers whose messages spent a credit that has not been replaced. */
  readonly #held: (() => void)[] = [];
  #subscription: Subscription | undefined;
  #window = 0;
  /** Credit the link has. */
  #loan = 0;
  #attachments = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  async run(): Promise<IntakeEnd> {
    const { credit, creditMax, clock, link } = this.#options;
    this.#window = credit.take(creditMax);
    this.#loan = this.#window;
    try {
      this.#subscription = link.receiver.subscribe(this.#handlers(), { autoCompleteMessages: false, maxConcurrentCalls: this.#window });
    } catch (error) {
      this.end({ kind: "lost", error: transportErrorOf("to receive", error) });
    }
    const why = await this.#ended.whenSet;
    // Drains the link: what is on its way arrives before this is fulfilled.
    if (this.#subscription !== undefined) await settledWithin(clock, closeTimeoutMs, this.#subscription.close());
    this.#held.length = 0;
    credit.add(this.#loan);
    this.#loan = 0;
    return why;
  }

  creditAdded(): void {
    if (this.#ended.value !== undefined) return;
    const { credit } = this.#options;
    while (this.#held.length > 0 && credit.take(1) === 1) {
      this.#loan += 1;
      this.#held.pop()?.();
    }
    this.#widen();
  }

  /** Uses credit for which no handler waits. */
  #widen(): void {
    const { credit, creditMax, link } = this.#options;
    const extra = credit.take(creditMax - this.#window);
    if (extra === 0) return;
    if (link.addCredit(extra)) {
      this.#window += extra;
      this.#loan += extra;
      return;
    }
    credit.add(extra);
    if (extra >= this.#window) this.end({ kind: "narrow" });
  }

  end(why: IntakeEnd): void {
    this.#ended.set(why);
  }

  #handlers(): StreamHandlers {
    return {
      processMessage: (message) => this.#process(message),
      processError: async (args) => this.#failed(args),
      preInitialize: async () => {
        this.#attachments += 1;
        if (this.#attachments === 1) return;
        this.end({ kind: "lost", error: new TransportError("expected the receiving link to stay attached, found that it was detached; it is opened again") });
        // Marks the subscription as ended at once, so that the SDK gives up its own attempt; the promise is `run`'s affair.
        void this.#subscription?.close().catch(() => {});
      },
      postInitialize: async () => this.#options.opened(),
    };
  }

  /** A promise is returned only for a message whose credit cannot be replaced yet. */
  #process(message: ServiceBusReceivedMessage): Promise<void> {
    const { credit, link } = this.#options;
    if (this.#loan > 0) {
      this.#loan -= 1;
    } else if (credit.take(1) === 0) {
      this.#options.surplus(message);
      // Its handler never ends, so that the credit nobody granted is not given again.
      return new Promise(() => {});
    }
    this.#options.arrived(message);
    if (link.isReattached)
      this.end({ kind: "lost", error: new TransportError("expected the receiving link to stay attached, found another in its place; it is opened again") });
    else if (link.isWornOut) this.end({ kind: "worn-out" });
    if (this.#ended.value === undefined && credit.take(1) === 1) {
      this.#loan += 1;
      if (this.#window < this.#options.creditMax && credit.available > 0) this.#widen();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      if (this.#ended.value === undefined) this.#held.push(resolve);
    });
  }

  #failed({ error, errorSource }: ProcessErrorArgs): void {
    const translated = transportErrorOf("to receive", error);
    if (errorSource === "receive") this.end({ kind: "lost", error: translated });
    else this.#options.disturbed(translated);
  }
}
