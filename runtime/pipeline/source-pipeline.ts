/** What stands between one source and all that the sources share: it receives, claims and settles, and nothing of another source. */
import type { SessionsSettings } from "../core/config/sessions.ts";
import type { FinalOutcome } from "../ports/telemetry.ts";
import { HandOver, type HandOverOptions } from "./hand-over.ts";
import { BatchProcessor, type ProcessBatchOptions } from "./process-batch.ts";
import { ReceiveLoop, type ReceiveLoopOptions } from "./receive-loop.ts";
import { type Receiving, ReceivingBoth } from "./receiving.ts";
import { Sagas } from "./sagas.ts";
import { Sessions, type SessionsView } from "./sessions.ts";
import { Settler, type SettlerOptions } from "./settle.ts";
import type { Source } from "./source.ts";
import { SourceHealth } from "./source-health.ts";
import type { Work } from "./work.ts";

export interface SourcePipelineOptions
  extends
    Omit<ProcessBatchOptions, "secretDoubted" | "source" | "settler" | "handOver" | "sessions">,
    Omit<SettlerOptions, "source" | "sagas" | "handOver" | "waitHere" | "ended" | "sessions">,
    Pick<HandOverOptions, "recovery"> {
  /** How many messages may be taken beyond those that are here. */
  room(): number;
  incoming: ReceiveLoopOptions["incoming"];
  part: ReceiveLoopOptions["part"];
  short: ReceiveLoopOptions["short"];
  /** A delivery has ended. */
  ended(work: Work, outcome: FinalOutcome): void;
}

const secretAgainAfterMs = 10_000;

export class SourcePipeline {
  readonly source: Source;
  readonly settler: Settler;
  readonly processor: BatchProcessor;
  readonly receiving: Receiving;
  readonly health: SourceHealth;
  readonly #options: SourcePipelineOptions;
  readonly #handOver: HandOver;
  /** Undefined where the entity has none. */
  readonly #sessions: Sessions | undefined;
  #secretAgainMs = 0;

  constructor(source: Source, options: SourcePipelineOptions) {
    const handOver = new HandOver({ source, recovery: options.recovery });
    const sagas = new Sagas({
      ...options,
      source,
      handOver,
      compensate: (work) => options.executions.compensate(work),
      handBack: (work) => this.settler.handBack(work),
      drop: (work) => this.settler.fail(work, { kind: "drop" }),
      broken: (work, error) => this.settler.broken(work, error),
    });
    const sessions = (): Sessions | undefined => this.#sessions;
    this.source = source;
    this.#options = options;
    this.#handOver = handOver;
    this.health = new SourceHealth({ ...options, source });
    this.settler = new Settler({ ...options, source, handOver, sagas, waitHere: (work, delayMs) => this.processor.waitHere(work, delayMs) });
    this.processor = new BatchProcessor({ ...options, source, settler: this.settler, handOver, sessions, secretDoubted: () => this.#askSecretAgain() });
    this.#sessions = source.sessions && this.#makeSessions(source.sessions);
    this.receiving = this.#makeReceiving();
  }

  /** Before anything is received. Resolves with the consumer's secret. */
  async start(): Promise<string> {
    const secret = await this.source.store.secret();
    this.#handOver.start(secret);
    this.settler.start(secret);
    this.processor.start(secret);
    return secret;
  }

  /** Whoever may send can have it doubted: it is asked for now and then alone. */
  #askSecretAgain(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs < this.#secretAgainMs) return;
    this.#secretAgainMs = nowMs + secretAgainAfterMs;
    // A store that does not answer is heard of elsewhere.
    this.start().catch(() => undefined);
  }

  /** Undefined where it has none. */
  get sessions(): SessionsView | undefined {
    return this.#sessions?.view();
  }

  #makeSessions(sessions: SessionsSettings): Sessions {
    const { source, health, processor } = this;
    const { intake } = this.#options;
    return new Sessions({ ...this.#options, source, health, sessions, processor, restsTooMuch: () => intake.restsTooMuch });
  }

  #makeReceiving(): Receiving {
    const { source, health, processor } = this;
    const sessions = this.#sessions;
    if (sessions !== undefined && source.readsBesideSessions !== true) return sessions;
    const loop = new ReceiveLoop({ ...this.#options, source, health, deliveries: (batch, wasAwaited) => processor.arrive(batch, wasAwaited) });
    return sessions === undefined ? loop : new ReceivingBoth(sessions, loop);
  }
}
