/**
 * The events that a worker sends to the platform about its work, in one table: of the events of `catalogue.ts` those that somebody
 * outside may have to act on, each as an event of the canonical envelope with a type, a version and a payload. What is written in
 * `runtime/PLATFORM-EVENTS.md`, and the JSON Schemas, are made from it; the compiler holds it against `catalogue.ts`.
 *
 * A field that is added raises the minor version; a field that goes, or another type, the major one.
 */
import { intakeBounds, type RuntimeEvent } from "./catalogue.ts";
import { type DeathClass, deathClasses } from "./death.ts";
import type { Delivery } from "./delivery.ts";
import { sweepForms } from "./sweep.ts";

type Kind = RuntimeEvent["type"];
type FieldsOf<K extends Kind> = Omit<Extract<RuntimeEvent, { type: K }>, "type">;

/** What a payload's field is: a whole number of 0 or more where `type` is integer. */
export interface PlatformField {
  readonly type: "string" | "integer" | "number" | "boolean";
  readonly values?: readonly string[];
  readonly meaning: string;
}

/** A text of a few, all of them listed: neither one less nor one more will do. */
interface OneOf<in out V extends string> {
  readonly type: "string";
  readonly values: readonly V[];
  readonly meaning: string;
}

type FieldOf<V> = [V] extends [string]
  ? string extends V
    ? PlatformField & { readonly type: "string" }
    : OneOf<V>
  : PlatformField & { readonly type: [V] extends [number] ? "integer" | "number" : "boolean" };

export interface PlatformRow {
  readonly eventType: string;
  /** `major.minor`. */
  readonly version: string;
  /** What has happened. */
  readonly meaning: string;
  /** There may be as many of them as messages: where not all can be sent, the others go first. */
  readonly isFrequent: boolean;
  readonly payload: Readonly<Record<string, PlatformField>>;
}

interface RowOf<K extends Kind> extends PlatformRow {
  readonly payload: { readonly [F in keyof FieldsOf<K>]: FieldOf<FieldsOf<K>[F]> } & Readonly<Record<string, PlatformField>>;
}

const text = (meaning: string) => ({ type: "string", meaning }) as const;
const count = (meaning: string) => ({ type: "integer", meaning }) as const;
const amount = (meaning: string) => ({ type: "number", meaning }) as const;
const flag = (meaning: string) => ({ type: "boolean", meaning }) as const;
const oneOf = <const V extends string>(values: readonly V[], meaning: string): OneOf<V> => ({ type: "string", values, meaning });

const eventId = text("the event that it is about; empty where it could not be read");
const skill = text("its skill; empty where none was found");
const attempt = count("number of the execution, from 1; 0 where none began");
const code = text("the failure's code");
const description = text("what was expected, what was found, where, and what to do; without secrets");
const why = text("what was found");
const error = text("what was found");
const source = text("the source, by its name");
const ofRun = { eventId, skill, attempt };
const ofEscalation = {
  eventId: text("the event that failed last"),
  escalationId: text("the same for all channels and tries"),
  rule: text("name of the rule"),
  counted: text("what is counted apart, such as `project=shop`"),
  critical: flag("whether the project is critical"),
  count: count("failures within the window"),
  windowMs: count("the window"),
};
const deathClass = oneOf<DeathClass>(deathClasses, "the failure's class");

interface Frequency {
  readonly often?: boolean;
}

function row<Payload extends Readonly<Record<string, PlatformField>>>(eventType: string, meaning: string, payload: Payload, { often = false }: Frequency = {}) {
  return { eventType, version: "1.0", meaning, isFrequent: often, payload };
}

const often: Frequency = { often: true };

/** Undefined: of no use to anybody outside, or no business of theirs. */
const rows: { readonly [K in Kind]: RowOf<K> | undefined } = {
  "run.failed": row(
    "RunFailed",
    "an execution failed, or a message was refused before one began; what becomes of it is an event of its own",
    { ...ofRun, class: deathClass, code, step: text("the step that failed; empty where it was in none"), description },
    often,
  ),
  "run.retrying": row(
    "RunRetrying",
    "a run that failed is tried again",
    { ...ofRun, delayMs: amount("the pause before that, in milliseconds"), code, description },
    often,
  ),
  "run.restarting": row(
    "RunRestarting",
    "a run that ended with its thread, perhaps for another run's sake, starts again; no attempt is counted",
    { ...ofRun, delayMs: amount("the pause before that, in milliseconds"), code, description },
    often,
  ),
  "step.fell-back": row(
    "StepFellBack",
    "a step's effect failed, and a fallback answered in its place",
    {
      ...ofRun,
      step: text("the step"),
      fallback: text("name of the fallback"),
      quality: oneOf(["full", "cached", "degraded", "template"], "how good its answer is"),
      code,
    },
    often,
  ),
  "run.compensating": row("RunCompensating", "a run of a critical skill failed for good: its steps are compensated, then it is dead-lettered", {
    ...ofRun,
    reason: text("why it failed"),
    steps: count("recorded steps"),
  }),
  "recovery.handed-over": row("CompensationHandedOver", "a message is over before its run is compensated: the recovery queue goes on with that", {
    ...ofRun,
    reason: text("why the run failed"),
    why,
  }),
  "recovery.continued": row("CompensationContinued", "nobody was at a run under compensation: a message was sent for it", {
    eventId,
    sent: count("messages that were sent for it so far"),
  }),
  "recovery.ended": row("CompensationEnded", "a run whose own message was dead-lettered before has ended", {
    ...ofRun,
    reason: text("why the run failed, or `CompensationFailed`"),
    description,
  }),
  "recovery.job-failed": row("RecoveryJobFailed", "a job of the recovery queue failed", {
    kind: text("the kind of job"),
    id: text("the job, among those of its kind"),
    error,
    isFinal: flag("whether it is given up"),
  }),
  "recovery.down": row("RecoveryQueueDown", "the recovery queue cannot be used; its jobs wait", { error }),
  "recovery.up": row("RecoveryQueueRecovered", "the recovery queue can be used again", {}),
  "recovery.swept": row("RecoverySwept", "a sweep over run records and messages has ended", {
    form: oneOf(sweepForms, "what it looks for, and whether it mends it"),
    found: count("disagreements that it found"),
    mended: count("those of them that it mended"),
    moved: count("those that were no longer as it had found them"),
    failed: count("those that it could not mend"),
    records: count("records of runs that are not done that it looked at"),
    messages: count("messages that it looked at"),
    letters: count("dead letters that it looked at"),
    isWhole: flag("whether it looked at all messages; else none counts as missing"),
  }),
  "recovery.disagreement": row("RecoveryDisagreement", "a sweep found a run's record and its messages to disagree", {
    eventId,
    kind: text("what disagrees, as `holdfast reconcile` names it"),
    what: text("what was found"),
    result: oneOf(["found", "mended", "moved", "failed"], "what became of it; `found` is left as it is"),
    error: text("why it could not be mended; empty where it did not fail"),
  }),
  "step.compensated": row("StepCompensated", "the compensation of a step has ended", {
    ...ofRun,
    step: text("the step"),
    outcome: oneOf(["compensated", "not-needed", "failed"], "how it ended; what `failed` has to be undone by hand"),
    code: text("the failure's code; empty where it did not fail"),
  }),
  "run.dead-lettered": row("RunDeadLettered", "a message was moved to the dead-letter queue", {
    ...ofRun,
    messageId: text("the message's id"),
    reason: text("the dead letter's reason"),
    description,
    class: deathClass,
    code,
    step: text("the step that failed; empty where it was in none"),
    fingerprint: text("the same for the same failure, as in `holdfast dlq groups`"),
  }),
  "run.resumed": row(
    "RunResumed",
    "a run goes on behind its recorded steps",
    { ...ofRun, stepsDone: count("recorded steps"), epoch: count("how often the run was claimed") },
    often,
  ),
  "run.revived": row("RunRevived", "an event that was given up is brought back", {
    eventId,
    skill,
    by: oneOf(["resend", "replay"], "a message that was sent again, or `holdfast dlq replay`"),
    from: oneOf(["checkpoint", "start"], "where it goes on"),
  }),
  "run.stale": row("RunTakenOver", "another worker has taken a run over, and this one let go of it", { eventId, skill }, often),
  "lock.lost": row(
    "LockLost",
    "a message's lock is lost; it will be redelivered",
    { eventId, where: oneOf(["renew", "settle"], "when that was noticed") },
    often,
  ),
  "message.broken": row("MessageBroken", "handling a message threw: a defect of the worker", { eventId, stage: text("where in the journey"), error }),
  "suspects.found": row("SuspectsFound", "runs were taken over whose worker ended without returning them", { runs: count("how many") }),
  "circuit.changed": row("CircuitChanged", "a dependency's circuit changed its state", {
    dependency: text("the dependency"),
    state: oneOf(["closed", "open", "half-open", "isolated"], "its state now"),
  }),
  "thread.lost": row("ThreadLost", "a thread ended", {
    why,
    replaced: flag("whether there is another one in its place; `ThreadReplaced` tells of it where there is later"),
  }),
  "thread.replaced": row("ThreadReplaced", "a thread that ended and could not be replaced is replaced after all", {
    why: text("why it had ended"),
    missing: count("threads that ended and are not replaced yet"),
  }),
  "thread.stuck": row("ThreadStuck", "a thread lets nothing in any more, and a run is past its time because of that; or it does again, by itself", {
    state: oneOf(["begin", "end"], "whether that begins or is over"),
    skill: text("the skill whose code holds it; empty where that is unknown"),
    eventId: text("the event of that run; empty where it is the code of none"),
    at: text("where in the plugin's own code, as file:line:column; empty where that is unknown"),
    why,
    forMs: amount("for how long it has let nothing in"),
  }),
  "thread.leaked": row("ThreadLeaked", "a thread was to end and does not, or does after all; another one has taken its place", {
    state: oneOf(["begin", "end"], "whether that begins or is over"),
    why,
    leaked: count("threads that do not end now"),
    leakedMax: count("with so many the worker stops, to be restarted"),
  }),
  "limits.unavailable": row("LimitsUnavailable", "rate limits could not be drawn on; what needs one is postponed meanwhile", { error }),
  "limits.recovered": row("LimitsRecovered", "rate limits can be drawn on again", { downMs: amount("how long they could not") }),
  "store.down": row("StoreDown", "the run store does not answer; nothing is received meanwhile", { error }),
  "store.up": row("StoreRecovered", "the run store answers again", { downMs: amount("how long it did not") }),
  "store.forgot": row("StoreForgot", "the run store has lost records", { what: oneOf(["sentinel", "failover"], "how that was noticed") }),
  "store.suspect": row("StoreSuspect", "because of a loss, steps without a record are not simply executed", {
    state: oneOf(["begin", "end", "extended"], "whether that begins, is over, or lasts longer because of another loss"),
    scope: oneOf(["all", "redelivered"], "of all events from before the loss, or of those alone whose messages are redelivered"),
    lostAgoMs: amount("how long ago the loss was"),
    forMs: amount("how long it lasts"),
  }),
  "source.down": row("SourceDown", "a source cannot be read; it is tried again, and the others are read on", {
    source,
    trouble: oneOf(
      ["missing", "disabled", "forbidden", "refused", "unreachable"],
      "whether there is no such entity, it is disabled, the right to it is missing, the broker refuses it as it is, or it could not be connected",
    ),
    error,
  }),
  "source.up": row("SourceRecovered", "a source serves again", { source, downMs: amount("how long it did not") }),
  "transport.disturbed": row("TransportDisturbed", "the connection to the broker is disturbed", { source, error }),
  "transport.recovered": row("TransportRecovered", "the broker serves a source again", { source, afterMs: amount("how long it did not") }),
  "send.failed": row("SendFailed", "messages could not be sent, with all their retries", { entity: text("where to"), messages: count("how many"), error }),
  "receiver.rebuilt": row("ReceiverRebuilt", "a receiver that got nothing was replaced", { source, why }),
  "connection.rebuilt": row("ConnectionRebuilt", "a new receiver had not helped: the connection was replaced", { source, why }),
  "memory.changed": row("MemoryChanged", "the worker's memory came near its limit, or went away from it", {
    state: oneOf(["ample", "tight", "short"], "`tight`: it takes fewer messages; `short`: none beside those that it holds"),
    usedBytes: count("what it uses"),
    limitBytes: count("what it may use"),
  }),
  "loop.changed": row("LoopChanged", "the worker's event loop became late, or is on time again", {
    state: oneOf(["ample", "tight", "short"], "`tight`: it takes fewer messages; `short`: none beside those that it holds"),
    delayMs: amount("the longest delay within the last seconds"),
  }),
  "worker.intake": row(
    "WorkerIntakeChanged",
    "what a worker holds at most of a skill's messages from a source has grown or shrunk by half, or its runs do not end",
    {
      source,
      skill: text("the skill"),
      window: count("messages that it may hold now: as many as can begin soon"),
      windowBefore: count("as reported before, or at the start"),
      boundBy: oneOf(
        intakeBounds,
        "what keeps it from taking more: how soon runs end, memory, a dependency's bulkhead or circuit, the skill's `concurrentMax` or a rate limit, the order of sessions, `inFlightMax`",
      ),
      held: count("messages of the skill from the source that it holds"),
      heldOfSource: count("messages from the source that it holds, of all skills"),
      concurrentMax: count("runs of the skill that may be under way at once"),
      running: count("runs of the skill that are"),
      waiting: count("runs of the skill that wait for one of them to end: in no lane"),
      stillMs: amount("for how long runs of the skill have been under way and none has ended"),
      behind: text("dependencies that the skill uses and that runs are in, separated by commas"),
      loopUse: amount("the part of its threads' time in which the skill's runs hold their event loops, from 0 to 1"),
    },
  ),
  "latency.drifted": row("LatencyDrifted", "a skill's runs take longer than they usually do, or no longer do", {
    skill: text("the skill"),
    state: oneOf(["usual", "slow", "very-slow"], "as usual; `factor` times as long, or that many times again"),
    latencyMs: amount("how long they took lately, on average"),
    usualMs: amount("how long they usually take"),
  }),
  "dependency.drifted": row("DependencyDrifted", "a dependency's calls take longer than they usually do, or no longer do", {
    dependency: text("the dependency"),
    state: oneOf(["usual", "slow", "very-slow"], "as usual; `factor` times as long, or that many times again"),
    latencyMs: amount("how long they took lately, on average"),
    usualMs: amount("how long they usually take"),
  }),
  "load-shedding.changed": row("LoadSheddingChanged", "the worker is over its bounds and gives back what may wait, or does so no more", {
    state: oneOf(["shedding", "off"], "whether it does"),
    why: oneOf(["queue-age", "memory", "loop"], "what is over its bounds, or was: the wait in the queue, memory, or the event loop"),
    queueAgeMs: amount("how long even the youngest messages had waited in the queue"),
    shed: count("messages given back since it began"),
  }),
  "credential.failing": row("CredentialFailing", "the token of a login cannot be replaced, or was replaced after all", {
    state: oneOf(
      ["begin", "ending", "end"],
      "`begin`: it keeps failing; `ending`: the token is about to end, nothing is received; `end`: there is another one",
    ),
    login: text("what is logged in to"),
    leftMs: amount("how long the token lasts yet"),
    failures: count("tries that failed in a row"),
    error,
  }),
  "secret.changed": row("SecretChanged", "a secret that lies elsewhere has another value, or what came to lie there is refused", {
    state: oneOf(["replaced", "refused"], "whether the new value is used from now on, or the one before"),
    setting: text("the key of the configuration"),
    place: text("where the secret lies"),
    error: text("why it is refused; empty where it is not"),
  }),
  "settings.changed": row("SettingsChanged", "live settings were applied, refused, or taken back because the worker was not ready any more", {
    state: oneOf(["applied", "refused", "rolled-back"], "what became of them"),
    from: oneOf(["file", "app-configuration"], "where they are read"),
    changes: text("what changed, from what to what; empty where they are refused"),
    error: text("why they are refused or taken back; empty where they are applied"),
  }),
  "clock.skewed": row("ClockSkewed", "the broker's clock and the worker's differ", { brokerAheadMs: amount("by how much the broker's is ahead") }),
  "escalation.raised": row(
    "EscalationRaised",
    "failures reached a rule's threshold; it goes to the rule's channels, unless another worker has come to the same",
    {
      ...ofEscalation,
      channels: text("names of the channels, separated by commas"),
    },
  ),
  "escalation.sent": row("EscalationSent", "a channel took an escalation", {
    ...ofEscalation,
    channel: text("its name"),
    attempt: count("number of the try, from 1"),
  }),
  "escalation.failed": row("EscalationFailed", "a channel did not take an escalation", {
    eventId,
    escalationId: ofEscalation.escalationId,
    rule: ofEscalation.rule,
    channel: text("its name"),
    attempt: count("number of the try, from 1; 0 where none was made"),
    isFinal: flag("whether it is given up"),
    error,
  }),
  "escalation.counting": row("EscalationCounting", "thresholds count the failures of the whole pool, or of one worker alone", {
    by: oneOf(["worker", "pool"], "whose failures are counted together"),
    error: text("why the pool's cannot be; empty where they are, or there is no Redis"),
  }),
  "escalation.held-back": row(
    "EscalationHeldBack",
    "failures reached a rule's threshold, and there were too many other escalations in this hour",
    { rule: ofEscalation.rule, counted: ofEscalation.counted },
    often,
  ),
  "worker.started": undefined,
  "worker.stopping": undefined,
  "worker.stopped": undefined,
  "probe.passed-by": undefined,
  "plugin.slow": undefined,
  "run.postponed": undefined,
  "platform-events.lost": undefined,
  "traces.lost": undefined,
  "logs.lost": undefined,
};

/** In every payload, besides the fields of its row. */
export const commonFields: { readonly [F in "consumer" | "worker"]: PlatformField } = {
  consumer: text("the source that it is about: a queue, or TOPIC/SUBSCRIPTION; of the worker as a whole, its first one"),
  worker: text("the worker, by a name that no other ever has"),
};

/** In the order of the table. */
export const platformRows: readonly PlatformRow[] = Object.values(rows).filter((row) => row !== undefined);

export const platformEventTypes: readonly string[] = platformRows.map(({ eventType }) => eventType);

/** Undefined of what is not sent. */
export function platformRowOf(kind: Kind): PlatformRow | undefined {
  return rows[kind];
}

function schemaOf({ type, values, meaning }: PlatformField): Readonly<Record<string, unknown>> {
  return { type, ...(values === undefined ? {} : { enum: values }), description: meaning };
}

/**
 * The payload's JSON Schema (2020-12) of an event type of this table, for a skill that reads it. Fields that a later minor version adds
 * are let through. Throws `RangeError` for another type.
 */
export function platformEventSchema(eventType: string): Readonly<Record<string, unknown>> {
  const found = platformRows.find((row) => row.eventType === eventType);
  if (found === undefined) throw new RangeError(`expected one of ${platformEventTypes.join(", ")}, got '${eventType}'`);
  const fields = { ...found.payload, ...commonFields };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: `${eventType} ${found.version}`,
    description: found.meaning,
    type: "object",
    properties: Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, schemaOf(field)])),
    required: Object.keys(fields),
  };
}

/** Marks a message as one of these: what becomes of it is not sent to the platform again, so that no worker answers itself for ever. */
export const platformEventHeader = "holdfast-platform-event";

export function isPlatformEvent(delivery: Pick<Delivery, "header">): boolean {
  return delivery.header(platformEventHeader) === true;
}
