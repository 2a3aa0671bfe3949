/**
 * What a worker takes on, for who looks at it from outside: each window with what bounds it now. A window is reported when it has come to be
 * larger or smaller by half than when it was reported last.
 */
import type { IntakeBound } from "../core/catalogue.ts";
import type { Clock } from "../core/clock.ts";
import type { Admission } from "../policy/admission.ts";
import type { MemoryWatch } from "../policy/memory-watch.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { InFlight } from "./in-flight.ts";
import type { Intake, IntakePlace } from "./intake.ts";
import type { Source } from "./source.ts";
import type { Work } from "./work.ts";

export interface IntakeWatchOptions {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly intake: Intake;
  readonly admission: Admission<Work>;
  readonly memoryWatch: MemoryWatch;
  readonly inFlight: InFlight;
  /** Of all messages held at once. */
  readonly inFlightMax: number;
}

/** What anyone may see of the intake of a skill from one source. */
export interface IntakeView {
  readonly source: string;
  readonly skill: string;
  /** Its messages from the source. */
  readonly held: number;
  readonly window: number;
  readonly boundBy: IntakeBound;
  /** Runs of the skill under way, from whichever source, and how many may be. */
  readonly running: number;
  readonly concurrentMax: number;
  /** The part of its threads' time in which its runs hold their event loops, as measured last; 0 while it is unknown. */
  readonly loopUse: number;
}

/** A window that has changed by this part of itself is reported. */
const toldFrom = 0.5;

export class IntakeWatch {
  readonly #options: IntakeWatchOptions;
  readonly #told = new Map<IntakePlace, number>();

  constructor(options: IntakeWatchOptions) {
    this.#options = options;
    for (const place of options.intake.places()) this.#told.set(place, place.window.size);
  }

  /** Once a second. */
  look(): void {
    const { clock, intake } = this.#options;
    const nowMs = clock.monotonicMs();
    intake.look(nowMs);
    for (const [place, toldSize] of this.#told) {
      const { size } = place.window;
      if (Math.abs(size - toldSize) < toldSize * toldFrom) continue;
      this.#told.set(place, size);
      this.#tell(place, toldSize, nowMs);
    }
  }

  view(): IntakeView[] {
    const nowMs = this.#options.clock.monotonicMs();
    return [...this.#told.keys()].map((place) => {
      const { source, skill, window, slots } = place;
      return {
        source: source.name,
        skill: skill.name,
        held: window.held,
        window: window.size,
        boundBy: this.#boundOf(place, nowMs),
        running: slots.inUse,
        concurrentMax: slots.concurrentMax,
        loopUse: slots.loopUse,
      };
    });
  }

  #tell(place: IntakePlace, windowBefore: number, nowMs: number): void {
    const { source, skill, window, slots } = place;
    this.#options.telemetry.emit({
      type: "worker.intake",
      source: source.name,
      skill: skill.name,
      window: window.size,
      windowBefore,
      boundBy: this.#boundOf(place, nowMs),
      held: window.held,
      heldOfSource: this.#heldOf(source),
      concurrentMax: slots.concurrentMax,
      loopUse: Math.round(slots.loopUse * 100) / 100,
    });
  }

  #heldOf(source: Source): number {
    let sum = 0;
    for (const place of this.#told.keys()) if (place.source === source) sum += place.window.held;
    return sum;
  }

  /** What keeps it from taking more now: the first of what leaves no room; else how soon what is here ends. */
  #boundOf({ source, skill, window, slots }: IntakePlace, nowMs: number): IntakeBound {
    const { admission, intake, memoryWatch, inFlight, inFlightMax } = this.#options;
    if (memoryWatch.state !== "ample" || intake.bytesRoom(0) <= 0) return "memory";
    const full = admission.fullFor(skill.uses, nowMs);
    if (full !== undefined) return full;
    if (slots.waiting > 0) return "limit";
    // A session has one message here, whatever there is room for.
    if (source.sessions !== undefined && source.readsBesideSessions !== true) return "order";
    return inFlight.size >= inFlightMax || window.size >= intake.ceiling ? "ceiling" : "rate";
  }
}
