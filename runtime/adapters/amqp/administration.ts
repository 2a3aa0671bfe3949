/**
 * Reads an entity's settings over the administration API: one request over HTTPS, answered by an Atom entry. The official client can do
 * it too, but takes 25 MB and a third of a second to load, which a worker that speaks AMQP itself has no other use for.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { messageOf, TransportError } from "../../core/errors.ts";
import type { EntityDepth, EntitySettings } from "../../ports/broker-facts.ts";
import { entityRemedies, entityTroubleText } from "../support/entity-trouble.ts";
import { answerTimeoutDefaultMs, busyPauseMs, tlsPortDefault } from "./limits.ts";
import { addressOf, type Entity, type NamespaceOptions, parseNamespace } from "./namespace.ts";

const apiVersion = "2021-05";
const expected = "the administration API to return the entity's settings";
/** A description has a few thousand characters. */
const answerBytesMax = 1_048_576;
const triesMax = 2;
/** Longer than this means: never. */
const foreverMs = 365 * 100 * 86_400_000;
const durationPattern = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

/** Milliseconds of an ISO 8601 duration of days and less; Infinity for one of about a century and more. */
function durationMs(text: string): number {
  const match = durationPattern.exec(text);
  if (match === null) throw new TransportError(`expected an ISO 8601 duration in the entity's settings, found '${text}'`);
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((part) => Number(part ?? 0));
  const total = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000;
  return total >= foreverMs ? Number.POSITIVE_INFINITY : total;
}

interface Answer {
  readonly status: number;
  readonly date: string | undefined;
  readonly text: string;
}

/** Rejects with `TransportError` when the administration API does not answer, or refuses. Goes through the proxy that the environment names. */
export async function readEntitySettings(options: NamespaceOptions, entity: Entity): Promise<EntitySettings> {
  return settingsOf(await describe(options, entity));
}

/** The same, for how many messages lie there. */
export async function readEntityDepth(options: NamespaceOptions, entity: Entity): Promise<EntityDepth> {
  const answer = await describe(options, entity);
  if (!isDescription(answer)) throw refusalOf(answer);
  const count = (name: string): number => Number(fieldOf(answer.text, name) ?? 0);
  return { active: count("ActiveMessageCount"), scheduled: count("ScheduledMessageCount"), deadLettered: count("DeadLetterMessageCount") };
}

async function describe(options: NamespaceOptions, entity: Entity): Promise<Answer> {
  const namespace = parseNamespace(options);
  const name = addressOf(entity);
  const host = namespace.host.includes(":") ? `[${namespace.host}]` : namespace.host;
  const isDefaultPort = !namespace.isPlain && namespace.port === tlsPortDefault;
  const url = new URL(`${namespace.isPlain ? "http" : "https"}://${host}${isDefaultPort ? "" : `:${namespace.port}`}/${name}?api-version=${apiVersion}`);
  const token = await namespace.tokens(`${url.origin}${url.pathname}`, Date.now());
  const authorization = token.type === "jwt" ? `Bearer ${token.value}` : token.value;
  for (let left = triesMax - 1; ; left -= 1) {
    try {
      const answer = await get(url, authorization);
      if (left > 0 && answer.status >= 500) continue;
      return answer;
    } catch (error) {
      if (error instanceof TransportError) throw error;
      if (left === 0) throw new TransportError(`expected ${expected}, found ${messageOf(error)}; check that the broker is up and reachable`, { cause: error });
    }
  }
}

function get(url: URL, authorization: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { headers: { authorization, accept: "application/atom+xml" }, signal: AbortSignal.timeout(answerTimeoutDefaultMs) };
    const answered = (response: IncomingMessage): void => void read(response).then(resolve, reject);
    // An import of node:http reads all that it exports, and so loads Node's own undici and HTTP/2: 50 ms and 13 MB.
    const { Agent, request } = process.getBuiltinModule(url.protocol === "http:" ? "node:http" : "node:https");
    const asked: ClientRequest = request(url, { ...options, agent: new Agent({ proxyEnv: process.env }) }, answered);
    asked.once("error", reject);
    asked.end();
  });
}

async function read(response: IncomingMessage): Promise<Answer> {
  response.setEncoding("utf8");
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > answerBytesMax) throw new Error(`an answer of more than ${answerBytesMax} bytes`);
  }
  return { status: response.statusCode ?? 0, date: response.headers.date, text };
}

/** Of an entity that is not there the service may also answer with an empty feed. */
function isDescription({ status, text }: Answer): boolean {
  return status === 200 && text.includes("<MaxDeliveryCount");
}

function settingsOf(answer: Answer): EntitySettings {
  const { date, text } = answer;
  if (!isDescription(answer)) throw refusalOf(answer);
  const field = (name: string): string => fieldOf(text, name) ?? "";
  const forwardTo = field("ForwardTo");
  return {
    lockDurationMs: durationMs(field("LockDuration")),
    deliveriesMax: Number(field("MaxDeliveryCount")),
    deadLettersOnExpiry: field("DeadLetteringOnMessageExpiration") === "true",
    timeToLiveMs: durationMs(field("DefaultMessageTimeToLive")),
    requiresSession: field("RequiresSession") === "true",
    status: field("Status"),
    forwardTo: forwardTo === "" ? undefined : forwardTo,
    brokerTimeMs: date === undefined ? undefined : Date.parse(date),
  };
}

function refusalOf({ status, text }: Answer): TransportError {
  const said = fieldOf(text, "Detail") ?? "it gave no reason";
  const code = `HTTP status ${status}`;
  const entityTrouble = status === 401 ? "forbidden" : status === 404 || status === 200 ? "missing" : undefined;
  if (entityTrouble === undefined)
    return new TransportError(`expected ${expected}, found ${code}: ${said}; look again later`, status === 503 ? { retryAfterMs: busyPauseMs } : {});
  return new TransportError(`expected ${expected}, found ${entityTroubleText(entityTrouble, code, said)}; ${entityRemedies[entityTrouble]}`, { entityTrouble });
}

const entities: ReadonlyMap<string, string> = new Map([
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
  ["amp", "&"],
]);

/** The text of the first element of this name, in whichever namespace. */
function fieldOf(xml: string, name: string): string | undefined {
  const text = new RegExp(`<((?:\\w+:)?)${name}(?:\\s[^>]*)?>([^<]*)</\\1${name}>`).exec(xml)?.[2];
  return text?.replace(/&(\w+);/g, (whole, entity: string) => entities.get(entity) ?? whole).trim();
}
