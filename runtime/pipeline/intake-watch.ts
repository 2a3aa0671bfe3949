/**
 * What a worker takes on, for who looks at it from outside: each window with what bounds it now. It is told when a window has come to be
 * larger or smaller by half than it was when it was told last, and when no run of its skill has ended for long: what hangs in a dependency holds
 * slots of its skill, and what waits for these is in no dependency's lane.
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
  /** Runs of the skill that wait for one of these. */
  readonly waiting: number;
  /** For how long runs have been under way and none has ended, and whether that is far longer than they take. */
  readonly stillMs: number;
  readonly isStill: boolean;
  /** Dependencies that the skill uses and that some runs are in. */
  readonly behind: readonly string[];
  /** The part of its threads' time in which its runs hold their event loops, as measured last; 0 while it is unknown. */
  readonly loopUse: number;
  /** For how long they have held them since the start. */
  readonly loopMs: number;
}

/** A window that has changed by this part of itself is reported. */
const toldFrom = 0.5;
/** Runs hang when none of them has ended for so long, and for so many times as long as they take. */
const stillAfterMs = 10_000;
const stillAfterRuns = 4;

/** How a place stood when it was looked at. */
interface Looked {
  /** Its window as it was told last. */
  toldSize: number;
  /** Runs of its skill that had ended, and since when no more of them have while some are under way. */
  left: number;
  sinceMs: number;
  isToldStill: boolean;
}

export class IntakeWatch {
  readonly #options: IntakeWatchOptions;
  readonly #places: ReadonlyMap<IntakePlace, Looked>;

  constructor(options: IntakeWatchOptions) {
    this.#options = options;
    this.#places = new Map(options.intake.places().map((place) => [place, { toldSize: place.window.size, left: 0, sinceMs: 0, isToldStill: false }]));
  }

  /** Once a second. */
  look(): void {
    const { clock, intake } = this.#options;
    const nowMs = clock.monotonicMs();
    intake.look(nowMs);
    for (const [place, looked] of this.#places) {
      const { window, slots } = place;
      if (slots.inUse === 0 || slots.left !== looked.left) {
        looked.left = slots.left;
        looked.sinceMs = nowMs;
        looked.isToldStill = false;
      }
      const hasComeToBeStill = !looked.isToldStill && window.held > 0 && this.#isStill(place, nowMs);
      if (Math.abs(window.size - looked.toldSize) < looked.toldSize * toldFrom && !hasComeToBeStill) continue;
      looked.isToldStill ||= hasComeToBeStill;
      const { toldSize } = looked;
      looked.toldSize = window.size;
      this.#tell(place, toldSize, nowMs);
    }
  }

  #stillMs(place: IntakePlace, nowMs: number): number {
    const looked = this.#places.get(place);
    return looked === undefined || place.slots.inUse === 0 || place.slots.left !== looked.left ? 0 : Math.round(nowMs - looked.sinceMs);
  }

  #isStill(place: IntakePlace, nowMs: number): boolean {
    return this.#stillMs(place, nowMs) > Math.max(stillAfterMs, stillAfterRuns * place.slots.serviceMs);
  }

  view(): IntakeView[] {
    const nowMs = this.#options.clock.monotonicMs();
    return [...this.#places.keys()].map((place) => {
      const { source, skill, window, slots } = place;
      return {
        source: source.name,
        skill: skill.name,
        held: window.held,
        window: window.size,
        boundBy: this.#boundOf(place, nowMs),
        running: slots.inUse,
        concurrentMax: slots.concurrentMax,
        waiting: slots.waiting,
        stillMs: this.#stillMs(place, nowMs),
        isStill: this.#isStill(place, nowMs),
        behind: this.#behind(place, nowMs),
        loopUse: slots.loopUse,
        loopMs: this.#options.intake.loopMs(skill),
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
      running: slots.inUse,
      waiting: slots.waiting,
      stillMs: this.#stillMs(place, nowMs),
      behind: this.#behind(place, nowMs).join(", "),
      loopUse: Math.round(slots.loopUse * 100) / 100,
    });
  }

  #behind({ skill }: IntakePlace, nowMs: number): string[] {
    const gates = this.#options.admission.view(nowMs);
    return skill.uses.flatMap((dependency) => {
      const gate = gates[dependency];
      return gate === undefined || gate.inUse === 0 ? [] : [gate.dependency];
    });
  }

  #heldOf(source: Source): number {
    let sum = 0;
    for (const place of this.#places.keys()) if (place.source === source) sum += place.window.held;
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
