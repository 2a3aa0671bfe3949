/**
 * How loud each event is in the log, and what is said of it there. What warns has a sentence that says what happened and, where no field of the
 * line does, what to do; it holds none of the fields, so that whoever counts lines by their text counts like by like. `type` is for machines.
 */
import type { RuntimeEvent } from "../../core/catalogue.ts";

export type Level = "debug" | "info" | "warn" | "error";

type Kind = RuntimeEvent["type"];

const levels = {
  "worker.started": "info",
  "plugin.slow": "warn",
  "worker.stopping": "info",
  "worker.stopped": "info",
  "probe.passed-by": "info",
  "run.failed": "debug",
  "run.resumed": "info",
  "run.retrying": "warn",
  "run.restarting": "warn",
  "run.compensating": "warn",
  "step.compensated": "info",
  "recovery.handed-over": "warn",
  "recovery.continued": "info",
  "recovery.ended": "warn",
  "recovery.job-failed": "error",
  "recovery.down": "error",
  "recovery.up": "info",
  "recovery.swept": "info",
  "recovery.disagreement": "warn",
  "step.fell-back": "warn",
  "run.postponed": "debug",
  "run.dead-lettered": "warn",
  "run.revived": "info",
  "suspects.found": "warn",
  "message.broken": "error",
  "run.stale": "warn",
  "lock.lost": "warn",
  "circuit.changed": "warn",
  "limits.unavailable": "error",
  "limits.recovered": "info",
  "store.down": "error",
  "store.up": "info",
  "store.forgot": "error",
  "memory.changed": "warn",
  "store.suspect": "warn",
  "clock.skewed": "warn",
  "source.down": "error",
  "source.up": "info",
  "transport.disturbed": "warn",
  "transport.recovered": "info",
  "send.failed": "error",
  "receiver.rebuilt": "warn",
  "connection.rebuilt": "error",
  "thread.lost": "error",
  "thread.replaced": "info",
  "thread.stuck": "warn",
  "thread.leaked": "error",
  "credential.failing": "error",
  "secret.changed": "warn",
  "settings.changed": "warn",
  "loop.changed": "warn",
  "load-shedding.changed": "warn",
  "worker.intake": "info",
  "latency.drifted": "warn",
  "dependency.drifted": "warn",
  "escalation.raised": "warn",
  "escalation.sent": "info",
  "escalation.failed": "error",
  "escalation.counting": "info",
  "escalation.held-back": "warn",
  "platform-events.lost": "warn",
  "traces.lost": "warn",
  "logs.lost": "warn",
} as const satisfies Readonly<Record<Kind, Level>>;

/** Of all events that there are. */
export const eventTypes: readonly string[] = Object.keys(levels);

/** A field of these says what happened, and what to do. */
type SelfTold = "run.retrying" | "run.dead-lettered" | "recovery.ended";

type Warning = Exclude<{ [K in Kind]: (typeof levels)[K] extends "warn" | "error" ? K : never }[Kind], SelfTold>;

/** By the value of a field where one is not enough. */
type Sentence<K extends Kind> = string | ((event: Extract<RuntimeEvent, { readonly type: K }>) => string);

const slower = "it takes longer than it usually does; look at its traces, and at what changed since it did not";
const usual = "it takes as long as usual again";
const notExported = "were not exported and are gone: too many waited, nobody took them, or the worker ended first; look after the collector";

const sentences: { readonly [K in Warning]: Sentence<K> } = {
  "plugin.slow": "this part of a plugin keeps threads from being ready; make it do less, or do it at first use",
  "run.restarting": "the run ended with its thread, which another run may have ended: it starts again, and no attempt is counted",
  "run.compensating": "the run failed for good: its recorded steps are compensated, then its message is dead-lettered",
  "recovery.handed-over": "the message is dead-lettered before its run's compensations have ended; the recovery queue goes on with them",
  "recovery.job-failed": ({ isFinal }) =>
    isFinal ? "a job of the recovery queue failed for good; do by hand what it was for" : "a job of the recovery queue failed; it is tried again",
  "recovery.down": "the recovery queue cannot be used; its jobs wait until what the error names is mended",
  "recovery.disagreement": "a run's record and its messages disagree; what was only found is mended with `holdfast reconcile --apply`",
  "step.fell-back": "a step's effect failed, and a fallback answered in its place; look after the dependency",
  "suspects.found": "runs were taken over from a worker that ended without returning them: they are tried again, carefully; look why it ended",
  "message.broken": "handling a message threw, which is a defect of the worker; report it with this line",
  "run.stale": "another worker has taken this run over, and this one let go of it: it was out of reach, or stood still, for longer than its lease",
  "lock.lost": "the message's lock was lost, and it is delivered again: the worker stood still, or was cut off from the broker",
  "circuit.changed": ({ state }) => {
    if (state === "closed") return "the dependency answers again, and is called as before";
    if (state === "half-open") return "the dependency is tried with a few calls";
    return state === "isolated"
      ? "the dependency is not called until its isolation is ended: runs that need it are postponed"
      : "the dependency fails too often and is not called for a while: runs that need it are postponed; look after it";
  },
  "limits.unavailable": "rate limits cannot be drawn on, and runs that need one are postponed; look after the store that the error names",
  "store.down": "the run store does not answer, and nothing is received until it does; look after it",
  "store.forgot":
    "the run store has lost records: it was emptied, replaced or brought back from a backup, or a replica without the last writes took over; events done before may run again, so find out which it was (README: A store that forgot)",
  "memory.changed": ({ state }) =>
    state === "ample" ? "memory is ample again" : "memory runs short, and fewer messages are taken; give the worker more, or lower heldBytesMax or threads",
  "store.suspect": ({ state }) =>
    state === "end"
      ? "care after the store's loss has ended: steps without a record are executed as always"
      : "the store has lost records: until forMs is over, steps without a record of events from before are looked for first, or parked as OutcomeUnknown (README: A store that forgot)",
  "clock.skewed": "the broker's clock and this machine's differ; the broker's is used for its times, but see that this machine's is set by NTP",
  "source.down": "this source cannot be read; it is tried again after growing pauses, and other sources are read on; mend what the error names",
  "transport.disturbed": "the connection to the broker is disturbed; it is made again by itself",
  "send.failed": "messages could not be sent, with all their retries; what they belong to is retried later, or dead-lettered where they can never be sent",
  "receiver.rebuilt": "a receiver that got nothing though messages wait was replaced; if this recurs, look after the network to the broker",
  "connection.rebuilt": "a new receiver did not help, so the connection to the broker was replaced; if this recurs, look after the network to it",
  "thread.lost": ({ replaced }) =>
    `a skill thread ended, with the runs on it, which are tried again; ${replaced ? "another one is in its place" : "there is none in its place yet"}; look in \`why\` for the code that ended it`,
  "thread.stuck": ({ state }) =>
    state === "end" ? "the thread goes on by itself" : "code holds a skill thread and lets nothing else run; see where in `at`, and make it yield, or bound it",
  "thread.leaked": ({ state }) =>
    state === "end"
      ? "a thread that did not end has ended after all"
      : "a thread that was to end does not, and another took its place; with leakedMax of them the worker stops, to be restarted",
  "credential.failing": ({ state }) => {
    if (state === "end") return "the login has a new token";
    return state === "ending"
      ? "the login's token is about to end and cannot be replaced: nothing is received until it is; mend what the error names"
      : "the login's token cannot be replaced; it is tried again: mend what the error names before leftMs is over";
  },
  "secret.changed": ({ state }) =>
    state === "replaced" ? "the secret's new value is used from now on" : "the secret's new value is refused, and the one before stays in use",
  "settings.changed": ({ state }) => {
    if (state === "applied") return "new settings are in use";
    return state === "refused"
      ? "new settings were refused as a whole, and those before stay; mend what the error names"
      : "new settings were taken back, as the worker was not ready with them";
  },
  "loop.changed": ({ state }) =>
    state === "ample"
      ? "the main thread's event loop is on time again"
      : "the main thread's event loop is late, and fewer messages are taken; give the worker more CPU",
  "load-shedding.changed": ({ state }) =>
    state === "off"
      ? "nothing is given back any more"
      : "the worker is over its bounds, and gives back what may wait; add workers, or look why runs take longer",
  "latency.drifted": ({ state }) => (state === "usual" ? usual : slower),
  "dependency.drifted": ({ state }) => (state === "usual" ? usual : slower),
  "escalation.raised": "an escalation's threshold was reached; it goes to its channels",
  "escalation.failed": ({ isFinal }) =>
    isFinal ? "a channel did not take the escalation, for good; see to it by hand" : "a channel did not take the escalation; it is tried again",
  "escalation.held-back": "an escalation was not sent, for there were too many others within the hour",
  "platform-events.lost":
    "events for the platform were not sent and are gone: there were too many, the broker refused them, or the worker ended first (why); look after their entity",
  "traces.lost": `spans ${notExported}`,
  "logs.lost": `lines of the log ${notExported}`,
};

export function levelOf(event: RuntimeEvent): Level {
  return levels[event.type];
}

/** Its type, of what has no sentence. */
export function sentenceOf(event: RuntimeEvent): string {
  const sentence = (sentences as Readonly<Partial<Record<Kind, Sentence<never>>>>)[event.type];
  return typeof sentence === "function" ? sentence(event as never) : (sentence ?? event.type);
}
