/** Whether the worker could send where it will have to: each entity is named with what needs it, what was found and what to do. */
import { type EntityUse, checkSendingTo, readBrokerFacts, sendingUses } from "../compose/broker.ts";
import type { Config } from "../core/config.ts";
import type { EntityTrouble, TransportError } from "../core/errors.ts";
import { fewAtOnce } from "./few-at-once.ts";
import { type Finding, foundIn, judged, notChecked, withDeadline } from "./finding.ts";

/** Never rejects. */
export async function checkSending(config: Config): Promise<readonly Finding[]> {
  const byEntity = Map.groupBy(sendingUses(config), ({ entity }) => entity);
  return fewAtOnce([...byEntity], ([entity, uses]) => checkSendingToOne(config, entity, uses));
}

async function checkSendingToOne(config: Config, entity: string, uses: readonly EntityUse[]): Promise<Finding> {
  const check = `send to ${entity}`;
  const expected = `a queue or topic '${entity}' that takes messages (${usesInWords(uses)})`;
  try {
    const answer = await withDeadline(checkSendingTo(config, entity));
    if (answer.kind === "refused") {
      const finding = judged(check, false, expected, refusalInWords(answer.error), remedyFor(answer.error.entityTrouble, uses));
      const [first] = uses;
      return first?.source !== undefined && uses.every(({ source }) => source === first.source) ? { ...finding, awaits: first.source } : finding;
    }
    if (answer.kind === "unanswered") throw answer.error;
  } catch (error) {
    // A namespace that cannot be reached, or asks for patience, says nothing about the entity.
    return notChecked(check, expected, foundIn(error), "correct what else is wrong with the broker, or look again later");
  }
  const events = uses.filter(({ does }) => does === "send events");
  if (events.length > 0 && (await requiresSession(config, entity))) {
    const takes = `an entity '${entity}' that takes messages without a session (${usesInWords(events)})`;
    return judged(check, false, takes, "it requires sessions", `name one in ${keysOf(events)} that does not require sessions`);
  }
  return judged(check, true, expected, "it does", "");
}

/** \`publish.entity: events that skills emit are sent there; sources.0.queue: it is read, and …\` */
function usesInWords(uses: readonly EntityUse[]): string {
  return [...Map.groupBy(uses, ({ key }) => key)].map(([key, of]) => `${key}: ${of.map(({ what }) => what).join(", and ")}`).join("; ");
}

function keysOf(uses: readonly EntityUse[]): string {
  return [...new Set(uses.map(({ key }) => key))].join(" and ");
}

function refusalInWords(error: TransportError): string {
  switch (error.entityTrouble) {
    case "missing":
      return "none of that name";
    case "disabled":
      return "that it is disabled for sending";
    case "forbidden":
    case undefined:
      return foundIn(error);
  }
}

function remedyFor(trouble: EntityTrouble | undefined, uses: readonly EntityUse[]): string {
  const another = `or name another in ${keysOf(uses)}`;
  switch (trouble) {
    case "missing":
      return `create it, ${another}`;
    case "disabled":
      return `enable it, ${another}`;
    case "forbidden":
    case undefined:
      return `give the key or the role the Send right on it, ${another}`;
  }
}

/** A topic, or a queue whose settings cannot be read, is taken to require none. */
async function requiresSession(config: Config, queue: string): Promise<boolean> {
  return withDeadline(readBrokerFacts(config, { queue })).then(
    (settings) => settings.requiresSession,
    () => false,
  );
}
