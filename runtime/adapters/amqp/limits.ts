/** Every bound of this adapter, in one place. */
import { reopenPauseMs } from "../../core/reopen-pause.ts";

/** Ports where a namespace listens: with TLS, and the plain one of a local broker. */
export const tlsPortDefault = 5_671;
export const plainPortDefault = 5_672;

/** How long to wait for the broker's answer, and the least that can be asked for. */
export const answerTimeoutDefaultMs = 10_000;
export const answerTimeoutMinMs = 100;

/** How long the broker may leave a connection without a frame, as we announce it; the connection is given up after twice that. */
export const idleTimeOutMs = 30_000;

/** The pause before a connection or link is opened again, after `failures` in a row: a quarter of it by chance, so that many workers do not come back as one. */
export function spreadPauseMs(failures: number, maxMs?: number): number {
  return reopenPauseMs(failures, maxMs) * (0.75 + Math.random() / 4);
}

/** Pause that a throttled namespace asks for. */
export const busyPauseMs = 10_000;

/** How long an orderly close may take before the socket is dropped. */
export const closeTimeoutMs = 2_000;

/** How long a receiver that stops waits for what is on its way. */
export const stopTimeoutMs = 5_000;

/** How long a token made from a key is good for. */
export const sasLifetimeMs = 3_600_000;

/** A token is replaced when this part of its life is over. */
export const tokenRefreshAt = 0.75;
/** A credential that gives the same token again has failed when no more than this is left of it, or this part of its life. */
export const noNewerMs = 120_000;
export const noNewerOfLife = 0.1;
/** A token is not replaced more often than this, however short its life. */
export const tokenRefreshMinMs = 1_000;
/** A signature may be good for years: it is looked at this often, and a timer cannot be set for longer than 24 days. */
export const tokenRefreshMaxMs: number = 7 * 86_400_000;
/** How long the credential may take to give a token: an identity library may try several sources in turn. */
export const tokenTimeoutMs = 30_000;

/** Credit that a link holds at once; what was granted beyond waits. */
export const linkCreditMax = 10_000;

/** Sessions of a connection at once, one for each link and each session of an entity that is held: more than Service Bus takes, which are 5 000. */
export const sessionsMax = 8_192;

/** Of these, how many are for sessions of entities: the rest is for the links of a hundred sources, and those that are replaced. */
export const entitySessionsMax = 3_000;

/** Deliveries of one link that may be unsettled; more than any worker holds. */
export const unsettledMax = 262_144;

/** Largest message that is taken: the most that a premium namespace lets through. */
export const messageBytesMax = 104_857_600;

/** Bytes of messages that have partly come, all links of a connection together: their sessions' windows bound them, and one must not end the others' connection. */
export const partialBytesMax = 0xffff_ffff;

/** Requests to a node on their way at once, and replies it may send ahead. */
export const requestsInFlightMax = 100;

/** Requests that may wait for their turn or for a connection. */
export const requestsWaitingMax = 20_000;

/** Lock tokens in one request to renew: 16 bytes each, so that a request fits into one frame. */
export const locksPerRequestMax = 1_000;

/** Messages that one request schedules, cancels or receives by their numbers. */
export const numbersPerRequestMax = 250;

/** Messages asked for in one look for a backlog, and looks at most. */
export const peekCount = 250;
export const peeksMax = 16;

/** Longest dead-letter reason and description the broker accepts. */
export const deadLetterTextMax = 4_096;

/** How often links are swept for deliveries that nobody settles, and how long after the latest end of its lock one counts as forgotten. */
export const sweepEveryMs = 60_000;
export const forgottenAfterMs = 300_000;

/** The largest batch that every tier takes, where the link allows more; larger messages go alone. */
export const batchBytesMax = 1_000_000;
export const batchMessagesMax = 2_000;

/** Batches on their way to one entity at once. */
export const batchesInFlightMax = 8;

/** Messages that may wait to be sent to one entity. */
export const messagesWaitingMax = 100_000;

/** How long the broker may take to answer that a session is let go. */
export const releaseTimeoutMs = 2_000;
