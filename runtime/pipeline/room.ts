/** How many more messages may be taken of a source, as what they need leaves it. */
import type { Clock } from "../core/clock.ts";
import type { SkillPolicy } from "../core/skill.ts";
import type { Admission } from "../policy/admission.ts";
import { ReadAhead } from "../policy/read-ahead.ts";
import type { SkillIntake } from "../policy/skill-slots.ts";
import type { InFlight } from "./in-flight.ts";
import type { Intake } from "./intake.ts";
import type { Source } from "./source.ts";
import type { Suspects } from "./suspects.ts";
import type { Work } from "./work.ts";

/** What a run that is found behind others allows to be postponed, and what may be besides. */
const foundWorth = 4;
const readPastPerSecond = 2;
const readPastReserve = 100;
/** Where much ends, as many as end within so long: what is on its way must not run out before the next is asked for. */
const readPastReserveMs = 10;
const readPastReserveMax = 400;
const readPastGapMs = 500;
/** Runs that take no longer give their places back at once. */
const quickMs = 20;

/** None of its runs waits for another to end, and they take so little that the next one need not either. What is unknown is not quick. */
function isQuick({ waiting, serviceMs }: Pick<SkillIntake<Work>["slots"], "waiting" | "serviceMs">): boolean {
  return waiting === 0 && serviceMs > 0 && serviceMs <= quickMs;
}

export interface RoomOptions {
  readonly clock: Clock;
  readonly admission: Admission<Work>;
  readonly readAhead: ReadAhead;
  readonly inFlight: InFlight;
  readonly intake: Intake;
  readonly suspects: Suspects;
}

export class Room {
  readonly #options: RoomOptions;
  /** How far to read past messages of skills that hold what they can begin. */
  readonly #readPast = new ReadAhead(foundWorth, readPastPerSecond, readPastReserve, readPastGapMs);
  /** Some skill holds as much as it can begin: what else is read may be another's. */
  #isReadingPast = false;
  /** Those that had room for none when it was looked at last: a run of theirs was not found behind others. */
  readonly #full = new Set<SkillPolicy>();

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** A run began without waiting. It is worth reading on for where its skill has room for more, or is quick, so that it has soon. */
  found({ intake, skill }: Work): void {
    const isFull = intake?.window.isFull === true;
    if (!isFull) this.#options.readAhead.found();
    if (!this.#isReadingPast) return;
    const isBehind = !isFull && !(skill !== undefined && this.#full.has(skill));
    if (isBehind || (intake !== undefined && isQuick(intake.slots))) this.#readPast.found();
  }

  /**
   * A message is held. Where its skill holds all that its window allows, and takes long, it was read past, though it begins here sooner than another
   * worker would find it.
   */
  took({ intake }: Work): void {
    if (this.#isReadingPast && intake !== undefined && intake.window.held > intake.window.size && intake.slots.serviceMs > quickMs) this.#readPast.spent();
  }

  /** More of a skill were here than it can begin soon. What is left while reading far past a skill that does not move is not owed once it does. */
  leftToOthers(): void {
    if (this.#isReadingPast) this.#readPast.spent();
    else this.#options.readAhead.spent();
  }

  /**
   * How many messages of a source may be taken beyond those that are here. A message's skill is known only once it is here: of so many, each
   * skill is likely to have room for its own, as the mix of what came lately tells. Those beyond, up to as many as the roomiest has room for its own
   * of, may have to be postponed, so they are within the bounds of reading ahead: far past what does not move, a little past
   * what only takes its time; in both, until as many of its messages are likely to come as may be postponed. What cannot be returned without counting a delivery must start soon. `creditOfOthers`: messages that
   * other sources may bring.
   */
  of(source: Source, creditOfOthers: number): number {
    const { admission, readAhead, clock, inFlight, intake, suspects } = this.#options;
    const within = source.transport.releaseIsFree ? "lane" : "soon";
    const nowMs = clock.monotonicMs();
    const ahead = readAhead.left(nowMs);
    let stillest = Number.POSITIVE_INFINITY;
    let fullest = Number.POSITIVE_INFINITY;
    let roomiest = 0;
    this.#full.clear();
    for (const skill of source.skills.policies) {
      const begins = intake.room(source, skill, nowMs);
      const room = Math.min(begins, admission.room(skill.uses, nowMs, within) - inFlight.undecidedOf(skill.uses));
      const messages = intake.messagesFor(source, skill, room);
      if (room < begins || intake.isStalled(source, skill, nowMs)) stillest = Math.min(stillest, intake.messagesFor(source, skill, room + ahead));
      else fullest = Math.min(fullest, messages);
      roomiest = Math.max(roomiest, messages);
      if (messages <= 0) this.#full.add(skill);
    }
    return Math.min(
      suspects.room(),
      intake.bytesRoom(creditOfOthers),
      roomiest,
      stillest,
      fullest > 0 ? this.#notPast(fullest) : this.#pastFull(source, nowMs),
    );
  }

  #notPast(room: number): number {
    this.#isReadingPast = false;
    return room;
  }

  /**
   * How far to read on when a skill holds all that it can begin: until as many of its messages are likely to come as may be postponed. Time
   * counts only while one does. A skill whose runs have all begun can begin more, and is about to be given more room: its messages are waited for.
   */
  #pastFull(source: Source, nowMs: number): number {
    const { intake } = this.#options;
    this.#isReadingPast = true;
    this.#readPast.reserve = Math.min(readPastReserveMax, Math.max(readPastReserve, readPastReserveMs / intake.endGapMs(nowMs)));
    const left = this.#readPast.left(nowMs);
    let messages = Number.POSITIVE_INFINITY;
    for (const skill of source.skills.policies) {
      if (intake.isGrowing(source, skill)) return 0;
      if (!intake.isStalled(source, skill, nowMs)) messages = Math.min(messages, intake.messagesFor(source, skill, intake.room(source, skill, nowMs) + left));
    }
    return messages;
  }
}
