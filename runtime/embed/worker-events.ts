/** What a program that embeds a worker hears of it. */
import type { RuntimeEvent } from "../core/catalogue.ts";
import type { AboutEvent, AboutMessage, FinalOutcome, SettledRun, Telemetry } from "../ports/telemetry.ts";

/** A message has been settled at the broker. */
export interface MessageSettled {
  readonly type: "message.settled";
  /**
   * `completed`, `duplicate` (its event was done before) and `dead-lettered` are the end of it. `retried` and `postponed`: it comes again later; `released`: it
   * was handed back untouched; `dropped`: its lock was lost, and it is delivered again.
   */
  readonly outcome: FinalOutcome;
  /** Empty when none was found. */
  readonly skill: string;
  /** Empty when it could not be read. */
  readonly eventId: string;
  /** Number of its last execution; 0 when none began. */
  readonly attempt: number;
  /** From the broker's enqueue time to settlement, by the wall clock. */
  readonly latencyMs: number;
}

/** Every event of the catalogue, and `message.settled` for each message. */
export type WorkerEvent = RuntimeEvent | MessageSettled;
/** The event of one type, as its listener gets it. */
export type WorkerEventOf<Type extends WorkerEvent["type"]> = Extract<WorkerEvent, { readonly type: Type }>;

type Listener = (event: WorkerEvent) => void;

/** Passes events on to those who listen; nobody's error gets back into the worker. */
export class WorkerEvents implements Telemetry {
  readonly #listeners = new Map<WorkerEvent["type"], Set<Listener>>();
  readonly #failed: (error: unknown, type: WorkerEvent["type"]) => void;

  /** `failed` hears what a listener has thrown. */
  constructor(failed: (error: unknown, type: WorkerEvent["type"]) => void) {
    this.#failed = failed;
  }

  on<Type extends WorkerEvent["type"]>(type: Type, listener: (event: WorkerEventOf<Type>) => void): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    // The same function can be added twice, and is removed once.
    const one: Listener = (event) => listener(event as WorkerEventOf<Type>);
    listeners.add(one);
    return () => {
      listeners.delete(one);
      if (listeners.size === 0) this.#listeners.delete(type);
    };
  }

  settled(outcome: FinalOutcome, skill: string, latencyMs: number, { eventId, attempt }: SettledRun): void {
    if (this.#listeners.has("message.settled")) this.#tell({ type: "message.settled", outcome, skill, eventId, attempt, latencyMs });
  }

  emit(event: RuntimeEvent, _about?: AboutMessage | AboutEvent): void {
    this.#tell(event);
  }

  #tell(event: WorkerEvent): void {
    const listeners = this.#listeners.get(event.type);
    if (listeners === undefined) return;
    for (const listener of listeners) {
      try {
        const returned: unknown = listener(event);
        if (returned instanceof Promise) returned.catch((error: unknown) => this.#failed(error, event.type));
      } catch (error) {
        this.#failed(error, event.type);
      }
    }
  }
}
