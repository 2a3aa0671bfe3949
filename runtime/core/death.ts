/**
 * Why an event was given up, as its dead letter and its run's record say it. The same failure has the same fingerprint wherever
 * and whenever it happens, so that dead letters can be grouped, and a replay sees whether the failure is still there.
 */
import { hash } from "node:crypto";
import type { HeaderValue } from "./delivery.ts";
import { type FailureClass, failureClasses } from "./failure-class.ts";
import { redact } from "./redact.ts";

/**
 * The class of the last failure; what may pass was retried until no attempt was left. Beside those:
 *
 * - `crash`: its executions ended with their thread or worker.
 * - `expired`: its time-to-live was over.
 */
export type DeathClass = FailureClass | "crash" | "expired";

export const deathClasses: readonly DeathClass[] = [...failureClasses, "crash", "expired"];

/** What is known of the failure where it is decided that the run ends. */
export interface DeathCause {
  readonly class: DeathClass;
  readonly code: string;
  readonly message: string;
  readonly step?: string | undefined;
  /** `file:line:column` of the plugin's own code. */
  readonly at?: string | undefined;
}

export interface Death {
  /** Surely not before it happened, by the broker's wall clock (see `BrokerClock.latestMs`): what was enqueued by then does not bring the run back. */
  readonly atMs: number;
  /** When it happened, by the broker's wall clock as well as it was known; undefined where nobody wrote it down. */
  readonly happenedAtMs?: number | undefined;
  /** As the dead letter's own reason. */
  readonly reason: string;
  readonly class: DeathClass;
  readonly code: string;
  readonly fingerprint: string;
  /** Texts are empty where there is none. */
  readonly step: string;
  readonly skill: string;
  readonly skillVersion: string;
  readonly attempt: number;
  readonly traceId: string;
  /** How often the event had been brought back before. */
  readonly generation: number;
  /** The replay that had brought it here; undefined when there was none. */
  readonly replayId?: string | undefined;
}

/** Where the parts of a death stand among a dead letter's application properties. */
const headerNames = {
  atMs: "holdfast-dead-at",
  happenedAtMs: "holdfast-dead-happened-at",
  reason: "holdfast-dead-reason",
  class: "holdfast-dead-class",
  code: "holdfast-dead-code",
  fingerprint: "holdfast-dead-fingerprint",
  step: "holdfast-dead-step",
  skill: "holdfast-dead-skill",
  skillVersion: "holdfast-dead-skill-version",
  attempt: "holdfast-dead-attempt",
  traceId: "holdfast-dead-trace-id",
  generation: "holdfast-dead-generation",
} as const satisfies Partial<Record<keyof Death, string>>;

/** The session that it was given up in. */
export const deadSessionHeader = "holdfast-dead-session";

/** All that a dead letter has more than its message had; a message that is sent again goes without them. */
export const deathHeaders: ReadonlySet<string> = new Set([...Object.values(headerNames), deadSessionHeader, "DeadLetterReason", "DeadLetterErrorDescription"]);

const classes: ReadonlySet<string> = new Set<DeathClass>(deathClasses);
const textMax = 256;
const normalisedMax = 300;
const fingerprintCharacters = 16;

/** A text of the outside, fit to stay with a message: without secrets, and short. */
export function cleanText(text: string): string {
  return redact(text, textMax);
}

/** What a message says apart from what differs each time: ids, numbers, addresses, and what is quoted. */
export function normalised(message: string): string {
  return message
    .slice(0, 4 * normalisedMax)
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, "#")
    .replace(/'[^'\n]{0,256}'|"[^"\n]{0,256}"|`[^`\n]{0,256}`/g, "'…'")
    .replace(/\b(?=[0-9a-z_-]{0,64}\d)[0-9a-z_-]+\b/gi, "#")
    .replace(/\d+/g, "#")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, normalisedMax);
}

/** Line and column change with every edit of the code; the file does not. */
function fileOf(at: string): string {
  return at.replace(/(?::\d+){1,2}$/, "");
}

/** The failure's own, whatever the event and the attempt. */
export function fingerprintOf(cause: Omit<DeathCause, "class"> & { readonly class: string }, skill: string): string {
  const { code, step = "", message, at = "" } = cause;
  const parts = [cause.class, code, skill, step, normalised(message), fileOf(at)];
  return hash("sha256", JSON.stringify(parts), "hex").slice(0, fingerprintCharacters);
}

/** The application properties of a dead letter. Every one is there, so that none of an earlier death of the message is left. */
export function headersOfDeath(death: Death): Readonly<Record<string, string | number>> {
  return {
    [headerNames.atMs]: death.atMs,
    [headerNames.happenedAtMs]: happenedAtMs(death),
    [headerNames.reason]: death.reason,
    [headerNames.class]: death.class,
    [headerNames.code]: death.code,
    [headerNames.fingerprint]: death.fingerprint,
    [headerNames.step]: death.step,
    [headerNames.skill]: death.skill,
    [headerNames.skillVersion]: death.skillVersion,
    [headerNames.attempt]: death.attempt,
    [headerNames.traceId]: death.traceId,
    [headerNames.generation]: death.generation,
  };
}

/** For people, and to tell what was first: `atMs` may be a lock's length late. */
export function happenedAtMs({ atMs, happenedAtMs: knownMs = atMs }: Pick<Death, "atMs" | "happenedAtMs">): number {
  return knownMs;
}

function numberOf(value: HeaderValue | undefined): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : 0;
}

/**
 * The death that a dead letter describes. Undefined when it describes none, or of an earlier one than its last: a message that
 * was sent again with the properties of its dead letter, and was then dead-lettered by the broker or by somebody else.
 */
export function deathOfHeaders(header: (name: string) => HeaderValue | undefined): Death | undefined {
  const text = (name: keyof typeof headerNames): string => {
    const value = header(headerNames[name]);
    return typeof value === "string" ? value.slice(0, textMax) : "";
  };
  const kind = text("class");
  const fingerprint = text("fingerprint");
  const reason = text("reason");
  if (!isDeathClass(kind) || !/^[0-9a-f]{16}$/.test(fingerprint) || header("DeadLetterReason") !== reason) return undefined;
  const atMs = numberOf(header(headerNames.atMs));
  return {
    atMs,
    // A later death of the message may be of a worker that does not write it.
    happenedAtMs: Math.min(atMs, numberOf(header(headerNames.happenedAtMs)) || atMs),
    reason,
    class: kind,
    code: text("code"),
    fingerprint,
    step: text("step"),
    skill: text("skill"),
    skillVersion: text("skillVersion"),
    attempt: numberOf(header(headerNames.attempt)),
    traceId: text("traceId"),
    generation: numberOf(header(headerNames.generation)),
  };
}

function isDeathClass(text: string): text is DeathClass {
  return classes.has(text);
}
