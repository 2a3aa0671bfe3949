/** `testWorker`: a whole worker, with a broker and a store of its own, in the test's process. */
import type { Broker } from "../../load/broker/broker.ts";
import type { ConfigInput } from "../core/config.ts";
import { didYouMean } from "../core/near-name.ts";
import { createProducer } from "../embed/create-producer.ts";
import { type EmbeddedWorker, createWorker } from "../embed/create-worker.ts";
import type { Producer, SendOptions } from "../embed/producer-types.ts";
import type { MessageSettled } from "../embed/worker-events.ts";

/** The queue that is read. */
const queueName = "events";
/** Where what skills emit goes, unless `publish` says otherwise. */
const emittedName = "emitted";
const settledWithinMs = 10_000;
/** Ends that are kept for those who ask later. */
const endsMax = 10_000;

/** What `testWorker` takes. */
export interface TestWorkerOptions {
  /** As for `createWorker`: folders, packages, or what `definePlugin({ module: import.meta.url, … })` made. */
  readonly plugins: ConfigInput["plugins"];
  /** More of the configuration, such as `dependencies` with the base URLs of stand-ins, `skills` or `threads` (default 1). */
  readonly config?: Omit<Partial<ConfigInput>, "sources" | "serviceBus" | "store" | "plugins" | "settings">;
  /** What the plugins are told, by the plugin's name. */
  readonly settings?: NonNullable<ConfigInput["settings"]>;
  /** Whether the queue that is read keeps sessions in order. Default false. */
  readonly sessions?: boolean;
  /** Further queues that the test needs, such as one for replies. Default: none. */
  readonly queues?: readonly string[];
  /** Where relative paths start. Default: the working folder. */
  readonly directory?: string;
}

/** What `send` of a test worker takes beside the type. */
export interface SentOptions extends SendOptions {
  /** Default `{}`. */
  readonly payload?: unknown;
}

/** A message that was given up. */
export interface TestDeadLetter {
  readonly eventId: string;
  readonly eventType: string;
  readonly reason: string;
  readonly description: string;
}

/** Made by `testWorker`. */
export interface TestWorker {
  readonly worker: EmbeddedWorker;
  readonly broker: Broker;
  /** Of the queue that is read. */
  readonly queue: string;
  /** Everything that the worker has logged, a line of JSON each. */
  readonly log: readonly string[];
  /** Puts an event into the queue, and resolves with its id once the broker has it. Throws as a producer's `send` does. */
  send(eventType: string, options?: SentOptions): Promise<string>;
  /**
   * Resolves when the event has come to its end: `completed`, `duplicate` or `dead-lettered`, also when it had before; a retry is no end. Nothing is polled. Rejects after
   * `withinMs` (10 000), and says what is known of it.
   */
  settled(eventId: string, withinMs?: number): Promise<MessageSettled>;
  /** What lies in the dead-letter queue, the oldest first; 100 at most. */
  deadLetters(): readonly TestDeadLetter[];
  /** Stops worker and broker. Idempotent. */
  stop(): Promise<void>;
}

/** Ends of events, for those who wait, and for those who ask later. */
class Ends {
  readonly #known = new Map<string, MessageSettled>();
  readonly #waiting = new Map<string, Set<(end: MessageSettled) => void>>();

  hear(settled: MessageSettled): void {
    const { eventId, outcome } = settled;
    if (outcome !== "completed" && outcome !== "duplicate" && outcome !== "dead-lettered") return;
    const [oldest] = this.#known.keys();
    if (this.#known.size >= endsMax && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(eventId, settled);
    for (const tell of this.#waiting.get(eventId) ?? []) tell(settled);
    this.#waiting.delete(eventId);
  }

  async of(eventId: string, withinMs: number, tooLate: () => string): Promise<MessageSettled> {
    const known = this.#known.get(eventId);
    if (known !== undefined) return known;
    const { promise, resolve, reject } = Promise.withResolvers<MessageSettled>();
    const waiting = this.#waiting.get(eventId) ?? new Set();
    this.#waiting.set(eventId, waiting.add(resolve));
    const timer = setTimeout(() => reject(new Error(tooLate())), withinMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Starts a local Service Bus and a worker with a store in memory, both in this process and on free ports, for end-to-end tests under any runner: what happens is what would
 * happen in production, threads included. Rejects as a worker's `start` does. Stop it when the test ends.
 */
export async function testWorker(options: TestWorkerOptions): Promise<TestWorker> {
  const { plugins, config = {}, settings = {}, sessions = false, queues = [], directory } = options;
  // Who tests a skill alone loads no broker.
  const { startBroker } = await import("../../load/broker/broker.ts");
  const broker = await startBroker({ entities: { queues: [{ name: queueName, requiresSession: sessions }, emittedName, ...queues] }, relaxed: true });
  const serviceBus = { connectionString: broker.connectionString };
  const log: string[] = [];
  const worker = createWorker(
    {
      threads: 1,
      publish: { entity: emittedName },
      ...config,
      sources: [{ queue: queueName, ...(sessions ? { sessions: {} } : {}) }],
      serviceBus,
      store: { kind: "sqlite", path: ":memory:" },
      plugins,
      settings,
    },
    { log: (line) => log.push(line), ...(directory === undefined ? {} : { directory }) },
  );
  const producer = createProducer({ serviceBus, publish: { entity: queueName }, projectId: "test", agent: "test" });
  const stop = async (): Promise<void> => {
    try {
      await Promise.all([worker.stop(), producer.stop()]);
    } finally {
      await broker.stop();
    }
  };
  try {
    const ends = new Ends();
    worker.on("message.settled", (settled) => ends.hear(settled));
    await worker.start();
    return new RunningTestWorker({ worker, broker, producer, ends, log, stop });
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
}

interface Parts extends Pick<TestWorker, "worker" | "broker" | "log" | "stop"> {
  readonly producer: Producer;
  readonly ends: Ends;
}

class RunningTestWorker implements TestWorker {
  readonly worker: EmbeddedWorker;
  readonly broker: Broker;
  readonly queue = queueName;
  readonly log: readonly string[];
  readonly #parts: Parts;
  readonly #sent = new Set<string>();
  #stopped: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.worker = parts.worker;
    this.broker = parts.broker;
    this.log = parts.log;
  }

  async send(eventType: string, { payload = {}, ...options }: SentOptions = {}): Promise<string> {
    const { eventId } = await this.#parts.producer.send(eventType, payload, options);
    this.#sent.add(eventId);
    return eventId;
  }

  settled(eventId: string, withinMs: number = settledWithinMs): Promise<MessageSettled> {
    return this.#parts.ends.of(eventId, withinMs, () => {
      const states = JSON.stringify(this.broker.inspect().queues[queueName]?.states);
      const known = this.#sent.has(eventId) ? "" : ` (no event of this id was sent here${didYouMean(eventId, [...this.#sent])})`;
      const last = this.log.findLast((line) => line.includes(JSON.stringify(eventId)))?.trim();
      return `expected event '${eventId}' to come to its end within ${withinMs} ms, it did not${known}; the queue holds ${states}${last === undefined ? "" : `, and the last word on it was ${last}`}`;
    });
  }

  deadLetters(): readonly TestDeadLetter[] {
    const { messages } = this.broker.inspectMessages(`${queueName}/$DeadLetterQueue`) ?? { messages: [] };
    return messages.map(({ eventType, deadLetterReason, deadLetterDescription, applicationProperties }) => ({
      eventId: String(applicationProperties["eventId"] ?? ""),
      eventType: eventType ?? "",
      reason: deadLetterReason ?? "",
      description: deadLetterDescription ?? "",
    }));
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#parts.stop();
    return this.#stopped;
  }
}
