// Stand-ins for the objects of the SDK that the adapter talks to, driven by hand.
import type { ServiceBusMessage, ServiceBusMessageBatch, ServiceBusReceivedMessage, ServiceBusReceiver, ServiceBusSender } from "@azure/service-bus";

export type Verb = "complete" | "abandon" | "defer" | "dead-letter";

export interface Given {
  readonly verb: Verb;
  readonly messageId: string;
}

/** A message as the SDK would have received it; locked until `lockedUntilMs`. */
export function receivedMessage(messageId: string, lockedUntilMs: number = Date.UTC(2100, 0, 1)): ServiceBusReceivedMessage {
  return { messageId, body: Buffer.from(messageId), lockedUntilUtc: new Date(lockedUntilMs) } as ServiceBusReceivedMessage;
}

/**
 * Takes settlements and groups them as the real client does: what is given before its write on the `nextTick` queue leaves
 * together. Answers each at once, unless told to keep silent or to refuse.
 */
export class FakeSettler {
  readonly ticks: Given[][] = [];
  #open: Given[] | undefined;
  /** Undefined answers; an error refuses; "never" leaves it unanswered. */
  answer: (given: Given) => Error | "never" | undefined = () => undefined;

  get receiver(): ServiceBusReceiver {
    const settle =
      (verb: Verb) =>
      (message: ServiceBusReceivedMessage): Promise<void> =>
        this.#settle({ verb, messageId: String(message.messageId) });
    return {
      completeMessage: settle("complete"),
      abandonMessage: settle("abandon"),
      deferMessage: settle("defer"),
      deadLetterMessage: settle("dead-letter"),
    } as unknown as ServiceBusReceiver;
  }

  #settle(given: Given): Promise<void> {
    if (this.#open === undefined) {
      this.#open = [];
      this.ticks.push(this.#open);
      process.nextTick(() => {
        this.#open = undefined;
      });
    }
    this.#open.push(given);
    const answer = this.answer(given);
    if (answer === "never") return new Promise(() => {});
    return answer === undefined ? Promise.resolve() : Promise.reject(answer);
  }
}

/** The handlers the SDK calls, those that its public types leave out included. */
export interface Handlers {
  processMessage(message: ServiceBusReceivedMessage): Promise<void>;
  processError(args: { error: Error; errorSource: string; entityPath: string; fullyQualifiedNamespace: string; identifier: string }): Promise<void>;
  preInitialize(): Promise<void>;
  postInitialize(): Promise<void>;
}

interface Call {
  readonly count: number;
  resolve(messages: readonly ServiceBusReceivedMessage[]): void;
  reject(error: Error): void;
}

/** A receiver of one link: its subscription and its calls for batches are there for the test to serve. */
export class FakeLinkReceiver {
  handlers: Handlers | undefined;
  window = 0;
  isSubscribed = false;
  isClosed = false;
  readonly calls: Call[] = [];

  subscribe(handlers: Handlers, options: { maxConcurrentCalls: number }): { close(): Promise<void> } {
    this.handlers = handlers;
    this.window = options.maxConcurrentCalls;
    this.isSubscribed = true;
    void handlers.preInitialize();
    return {
      close: async () => {
        this.isSubscribed = false;
      },
    };
  }

  receiveMessages(count: number): Promise<readonly ServiceBusReceivedMessage[]> {
    return new Promise((resolve, reject) => this.calls.push({ count, resolve, reject }));
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  /** Delivers messages to the subscription; how many handlers ended is how much credit the link was given. */
  async deliver(messages: readonly ServiceBusReceivedMessage[]): Promise<{ readonly ended: number }> {
    const progress = { ended: 0 };
    for (const message of messages) {
      void this.handlers?.processMessage(message).then(() => {
        progress.ended += 1;
      });
    }
    await Promise.resolve();
    return progress;
  }

  async fail(error: Error): Promise<void> {
    await this.handlers?.processError({ error, errorSource: "receive", entityPath: "", fullyQualifiedNamespace: "", identifier: "" });
  }

  asReceiver(): ServiceBusReceiver {
    return this as unknown as ServiceBusReceiver;
  }
}

/** A batch that holds so many messages, whatever their size. */
class FakeBatch {
  readonly messages: ServiceBusMessage[] = [];
  readonly maxSizeInBytes = 1_000_000;
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  tryAddMessage(message: ServiceBusMessage): boolean {
    if (String(message.messageId).startsWith("odd")) throw new TypeError("an odd message");
    if (this.messages.length >= this.#countMax) return false;
    this.messages.push(message);
    return true;
  }
}

/** A sender whose batches the test answers one by one. */
export class FakeSender {
  readonly sends: { readonly ids: readonly string[]; accept(): void; refuse(error: Error): void }[] = [];
  countMax = 1_000;

  async createMessageBatch(): Promise<ServiceBusMessageBatch> {
    return new FakeBatch(this.countMax) as unknown as ServiceBusMessageBatch;
  }

  sendMessages(sent: FakeBatch | ServiceBusMessage): Promise<void> {
    const messages = sent instanceof FakeBatch ? sent.messages : [sent];
    return new Promise((accept, refuse) => this.sends.push({ ids: messages.map(({ messageId }) => String(messageId)), accept, refuse }));
  }

  asSender(): ServiceBusSender {
    return this as unknown as ServiceBusSender;
  }
}
