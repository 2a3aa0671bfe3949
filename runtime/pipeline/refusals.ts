/** What is said of messages that are refused for good before they run. */
import { messageOf } from "../core/errors.ts";
import { cancelledReason, type HistoryEntry } from "../core/history.ts";
import type { Invalid, Route } from "../core/event-envelope.ts";
import { didYouMean } from "../core/near-name.ts";
import type { SkillTable } from "../core/skill.ts";

const versionsShownMax = 20;

export function overDelivered(deliveriesMax: number, attempt: number): Invalid {
  return {
    reason: "DeliveryLimit",
    description: `expected at most ${deliveriesMax} deliveries, this is delivery ${attempt}: it may crash the workers that read it, or its lock keeps being lost; look for suspects.found and lock.lost in their logs`,
  };
}

export function unreadable(error: unknown): Invalid {
  return { reason: "InvalidEnvelope", description: `expected an envelope that can be read, found one that stops the reader: ${messageOf(error, 200)}` };
}

export function unroutable(why: "unknown-type" | "unsupported-version" | "unrouted", { eventType, version }: Route, { handled }: SkillTable): Invalid {
  switch (why) {
    case "unknown-type":
      return {
        reason: "UnknownEventType",
        description: `expected an event type that a registered skill handles, found '${eventType}'${didYouMean(eventType, [...handled.keys()]) || "; deploy a skill that handles it, or filter the type out where the event is sent"}`,
      };
    case "unrouted":
      return {
        reason: "Unrouted",
        description: `expected an event of the skills that may come from this source, found '${eventType}', which another skill handles; add that skill to the source's skills, or send the event elsewhere`,
      };
    case "unsupported-version": {
      const versions = handled.get(eventType) ?? [];
      const shown = `${versions.slice(0, versionsShownMax).join(", ")}${versions.length > versionsShownMax ? ", …" : ""}`;
      return {
        reason: "UnsupportedVersion",
        description: `expected a version of '${eventType}' that a registered skill handles (${shown}), found '${version}'; extend the skill's versions, or deploy one that handles it`,
      };
    }
  }
}

export function reused(eventId: string): Invalid {
  return {
    reason: "EventIdReuse",
    description: `expected the same payload for eventId '${eventId}', found another; give each event an id of its own, and send an event again with the payload that it had`,
  };
}

/** Of a run whose record says that it is dead or parked. */
export function givenUp(eventId: string, reason: string, history: readonly HistoryEntry[]): string {
  const cancelled = reason === cancelledReason ? history.findLast((entry) => entry.kind === "cancelled") : undefined;
  if (cancelled !== undefined)
    return `expected an event that is to go on, found that '${eventId}' was called off: ${cancelled.reason}; 'holdfast runs explain' says whether a step of it may have happened of which nobody knows, and 'holdfast runs resume' lets it go on after all`;
  const why = reason === "" ? "" : ` as ${reason}`;
  return `expected an event that was not given up, found that '${eventId}' was given up before${why} and that this message is not sent again since; look at the reason, mend it, then bring the event back with 'holdfast dlq replay', or send it again`;
}
