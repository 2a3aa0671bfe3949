/** A queue that requires sessions, workers that read it, and the dependency that sees what they do. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import type { MessagePage } from "#load/broker/inspection.ts";
import { WorkerProcess } from "#load/dev/worker-process.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { SessionsConfig } from "#runtime/core/config/sessions.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { EffectLedger } from "../effects/effect-ledger.ts";
import { eventIdOf } from "./judge.ts";
import { effectsDependency, eventType, writeOrderPlugin } from "./plugin.ts";

export const queue = "in-order";
/** Of the queue. Where nobody gives a session back, it is this long before another worker has it. */
const lockDurationMs = 5_000;
const deliveryCountMax = 2_000;
const batch = 1_000;
const lookEveryMs = 20;
const stallMaxMs = 120_000;

export interface StageOptions {
  readonly sessions: SessionsConfig;
  readonly transport: TransportKind;
  readonly redisUrl: string;
}

export class OrderStage {
  readonly broker: Broker;
  readonly ledger: EffectLedger;
  readonly workers: WorkerProcess[] = [];
  readonly #folder: string;
  readonly #configFile: string;

  private constructor(broker: Broker, ledger: EffectLedger, folder: string, configFile: string) {
    this.broker = broker;
    this.ledger = ledger;
    this.#folder = folder;
    this.#configFile = configFile;
  }

  static async start({ sessions, transport, redisUrl }: StageOptions): Promise<OrderStage> {
    const queues = [{ name: queue, requiresSession: true, lockDurationMs, deliveryCountMax }];
    const broker = await startBroker({ entities: { queues } });
    const ledger = await EffectLedger.start();
    const folder = mkdtempSync(join(tmpdir(), "holdfast-order-"));
    const configFile = join(folder, "holdfast.config.json");
    const config = {
      sources: [{ queue, sessions }],
      serviceBus: { connectionString: broker.connectionString },
      transport,
      plugins: [writeOrderPlugin(folder, sessions.onFailure ?? "block")],
      threads: 1,
      deliveriesMax: deliveryCountMax - 1,
      store: { kind: "redis", url: redisUrl, prefix: `order-${process.pid}-${Date.now()}` },
      dependencies: { [effectsDependency]: { baseUrl: ledger.url } },
      logLevel: "error",
    };
    writeFileSync(configFile, JSON.stringify(config));
    return new OrderStage(broker, ledger, folder, configFile);
  }

  async startWorkers(count: number): Promise<void> {
    const workers = Array.from({ length: count }, () => new WorkerProcess(this.#configFile));
    this.workers.push(...workers);
    await Promise.all(workers.map((worker) => worker.start()));
  }

  /** Of each session one message after the other, and the sessions side by side. */
  async send(sessions: readonly string[], messages: number, content: Readonly<Record<string, unknown>>): Promise<void> {
    const publisher = createAmqpPublisher({ connectionString: this.broker.connectionString, clock: systemClock });
    await publisher.start();
    try {
      const all = Array.from({ length: messages }, (_, index) => sessions.map((session) => messageOf(session, index, content))).flat();
      for (let from = 0; from < all.length; from += batch) await publisher.send(queue, all.slice(from, from + batch));
    } finally {
      await publisher.stop();
    }
  }

  /** Messages of the queue that have not ended. */
  get open(): number {
    const { active, locked, scheduled } = this.#inspect().states;
    return active + locked + scheduled;
  }

  get completed(): number {
    return this.#inspect().totals.completed;
  }

  get scheduled(): number {
    return this.#inspect().states.scheduled;
  }

  get deadLettered(): ReadonlySet<string> {
    const ids = new Set<string>();
    for (let from: number | null = 0; from !== null;) {
      const page: MessagePage | undefined = this.broker.inspectMessages(`${queue}/$DeadLetterQueue`, { from, top: batch });
      for (const { messageId } of page?.messages ?? []) ids.add(messageId);
      from = page?.next ?? null;
    }
    return ids;
  }

  /** Waits until `isOver`; throws when nothing ends for long. */
  async until(isOver: () => boolean): Promise<void> {
    let { open } = this;
    let movedMs = performance.now();
    while (!isOver()) {
      if (this.open !== open) movedMs = performance.now();
      open = this.open;
      if (performance.now() - movedMs > stallMaxMs) throw new Error(`expected messages to end, none did for ${stallMaxMs / 1_000} s with ${open} in the queue`);
      await pause(lookEveryMs);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.stop()));
    await this.ledger.stop();
    await this.broker.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #inspect(): NonNullable<ReturnType<Broker["inspect"]>["queues"][string]> {
    const found = this.broker.inspect().queues[queue];
    if (found === undefined) throw new Error(`expected the broker to have ${queue}`);
    return found;
  }
}

function messageOf(sessionId: string, index: number, content: Readonly<Record<string, unknown>>): OutgoingMessage {
  const eventId = eventIdOf(sessionId, index);
  const envelope = {
    eventId,
    eventType,
    traceId: "drill",
    correlationId: sessionId,
    projectId: "drill",
    originatingAgent: "drill",
    version: "1.0",
    timestamp: new Date().toISOString(),
    payload: { index, ...content },
  };
  return { sessionId, messageId: eventId, contentType: "application/json", headers: eventHeaders(envelope), body: Buffer.from(JSON.stringify(envelope)) };
}
