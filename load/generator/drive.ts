/** Sends a stream as its profile says, and measures each event from the moment when it was meant to be sent. */
import type { Clock } from "#runtime/core/clock.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { dueTimes } from "./arrivals.ts";
import { ClosedLoop } from "./closed-loop.ts";
import { drawsOf } from "./draw.ts";
import { Latencies } from "./latency.ts";
import { type Due, paced } from "./paced.ts";
import { generatePlain, type PlainMessage } from "./plain.ts";
import type { Profile } from "./profile.ts";
import { Sender, type SendReport } from "./send.ts";

export interface DriveOptions {
  readonly profile: Omit<Profile, "about">;
  /** Started; the drive does not stop it. */
  readonly publisher: Publisher;
  readonly entity: string;
  readonly clock: Pick<Clock, "monotonicMs" | "after">;
  /** See `PlainOptions`. */
  readonly idPrefix?: string;
  readonly content?: Readonly<Record<string, unknown>>;
}

/** What is drawn for the time between two arrivals. */
const arrivalDraw = 30;

export class Drive {
  readonly #options: DriveOptions;
  readonly #loop: ClosedLoop | undefined;
  /** By the places of the events; NaN for what has not been sent. */
  readonly #intendedAtMs: Float64Array;
  readonly #hasEnded: Uint8Array;

  constructor(options: DriveOptions) {
    this.#options = options;
    const { arrivals, events } = options.profile;
    this.#loop = arrivals.kind === "closed" ? new ClosedLoop(arrivals.inFlight) : undefined;
    this.#intendedAtMs = new Float64Array(events).fill(Number.NaN);
    this.#hasEnded = new Uint8Array(events);
  }

  /** Events that have been sent so far, those on their way included. */
  get begun(): number {
    return this.#intendedAtMs.findLastIndex((atMs) => !Number.isNaN(atMs)) + 1;
  }

  /** When the event at a place was meant to be sent, by the clock's monotonic time; NaN when it has not been sent. */
  intendedAtMs(place: number): number {
    return this.#intendedAtMs[place] ?? Number.NaN;
  }

  /** Sends until the stream is over or the signal; resolves when everything is confirmed. */
  async run(signal?: AbortSignal): Promise<SendReport> {
    // A closed loop may wait for events that never end.
    const stop = (): void => this.#loop?.stop();
    const sender = new Sender({ ...this.#options, onFailure: stop });
    signal?.addEventListener("abort", stop);
    if (signal?.aborted === true) stop();
    try {
      for await (const due of this.#arriving()) {
        for (const { item, intendedAtMs } of due) if (item.kind === "first") this.#intendedAtMs[item.index] = intendedAtMs;
        await sender.add(due.map(({ item }) => item));
        await sender.flush();
        if (signal?.aborted === true || !sender.isSending) break;
      }
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    return sender.finish();
  }

  /** The event at a place has ended; a closed loop sends the next one. */
  ended(place: number): void {
    if (this.#hasEnded[place] !== 0) return;
    this.#hasEnded[place] = 1;
    this.#loop?.ended(1);
  }

  #arriving(): AsyncGenerator<readonly Due<PlainMessage>[]> {
    const { profile, idPrefix, content, clock } = this.#options;
    const { arrivals, seed } = profile;
    const messages = generatePlain({
      ...profile,
      ...(idPrefix === undefined ? undefined : { idPrefix }),
      ...(content === undefined ? undefined : { content }),
    });
    if (arrivals.kind === "closed") return this.#loop!.release(firstsCounted(messages, this.#loop!), clock);
    const draw = drawsOf(seed);
    let drawn = 0;
    return paced(messages, { dueMs: dueTimes(arrivals, () => draw(drawn++, arrivalDraw)), clock });
  }
}

/** What comes beside the events holds no place of a closed loop: nobody tells when it has ended. */
function* firstsCounted(messages: Iterable<PlainMessage>, loop: ClosedLoop): Generator<PlainMessage> {
  for (const message of messages) {
    yield message;
    if (message.kind !== "first") loop.ended(1);
  }
}

/** When events ended, by their places. */
export interface Ended {
  readonly place: number;
  readonly atMs: number;
}

/** The latencies of those that were meant to be sent from one moment to another, by the clock of the drive. */
export function latenciesOf(drive: Pick<Drive, "intendedAtMs">, ended: Iterable<Ended>, fromMs: number = -Infinity, toMs: number = Infinity): Latencies {
  const latencies = new Latencies();
  const seen = new Set<number>();
  for (const { place, atMs } of ended) {
    const intendedAtMs = drive.intendedAtMs(place);
    // What ends twice is measured at its first end; that it does is for the guards to say.
    if (!(intendedAtMs >= fromMs && intendedAtMs < toMs) || seen.has(place)) continue;
    seen.add(place);
    latencies.ended(intendedAtMs, atMs);
  }
  return latencies;
}
