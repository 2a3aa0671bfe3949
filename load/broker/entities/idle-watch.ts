// Deletes entities that nobody has used for as long as they are set to stay.
import { Alarm, type Clock } from "./clock.ts";

export interface Perishable {
  readonly path: string;
  readonly settings: { readonly autoDeleteOnIdleMs: number };
  /** Somebody waits for its messages, or they wait for their time: it cannot be idle now. */
  readonly isInUse: boolean;
  readonly usedAtMs: number;
}

export class IdleWatch {
  readonly #clock: Clock;
  readonly #entities: () => Iterable<Perishable>;
  readonly #onIdle: (path: string) => void;
  readonly #alarm: Alarm;

  /** @param onIdle called with each that was idle for long enough; it must be gone from `entities` afterwards */
  constructor(clock: Clock, entities: () => Iterable<Perishable>, onIdle: (path: string) => void) {
    this.#clock = clock;
    this.#entities = entities;
    this.#onIdle = onIdle;
    this.#alarm = new Alarm(clock, () => this.look());
  }

  /** To be called when an entity has come or has other settings; looks again by itself when the next one may be idle. */
  look(): void {
    const nowMs = this.#clock.now();
    const idle: string[] = [];
    for (const { path, settings, isInUse, usedAtMs } of this.#entities()) {
      if (settings.autoDeleteOnIdleMs === Infinity) continue;
      const idleAtMs = (isInUse ? nowMs : usedAtMs) + settings.autoDeleteOnIdleMs;
      if (idleAtMs <= nowMs) idle.push(path);
      else this.#alarm.set(idleAtMs);
    }
    for (const path of idle) this.#onIdle(path);
  }

  stop(): void {
    this.#alarm.stop();
  }
}
