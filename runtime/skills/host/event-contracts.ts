// What contracts mean for the events that a thread receives and emits.
import type { EventEnvelope } from "../../core/event-envelope.ts";
import type { Skill } from "../author/define-skill.ts";
import type { Decoded } from "./decode-body.ts";

/** The contracts of a worker's events, ready to check by. */
export interface EventContracts {
  /**
   * Checks an event that was received, and converts its payload where the skill handles a later version only; the event itself where nothing is to be converted.
   * Throws a `PermanentError`, `UPCAST_FAILED`, where its upcaster is at fault.
   */
  receive(event: EventEnvelope, skill: Pick<Skill, "handles" | "payload">): Decoded<EventEnvelope>;
  /** Throws `ConfigurationError`, naming type, version and path, for a payload that is not what its contract says. */
  checkEmitted(eventType: string, version: string, payload: unknown): void;
}

/** Which later versions an event can be converted to. */
export interface UpcastTable {
  /** Nearest first; empty when there is no upcaster for it. */
  reach(eventType: string, version: string): readonly string[];
}
