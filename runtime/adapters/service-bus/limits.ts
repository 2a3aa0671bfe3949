/** Every bound of this adapter, in one place. */

/** Credit a link may hold at once, unless the options say less. */
export const creditDefault = 500;

/**
 * Deliveries that may follow the oldest unsettled one on a link before a fresh link takes over. The client's session holds at
 * most 2 047 unsettled deliveries and frees them from its head only; this leaves room for the credit still on its way.
 */
export const spreadMax = 1_500;

/** The most credit a link may have: `spreadMax` plus this must stay below 2 047. */
export const creditLimit = 500;

/** Links of one receiver that are open at once, those that only wait for their last settlements included. */
export const linksMax = 16;

/** Deliveries of one link before it is replaced: the client cannot count past 2^32, where delivery ids start over. */
export const deliveriesPerLinkDefault = 1_000_000_000;

/** Pause that a throttled namespace asks for. */
export const busyPauseMs = 10_000;

/** How long to wait for the broker's answer to a settlement or a management request, and the least that can be asked for. */
export const answerTimeoutDefaultMs = 10_000;
export const answerTimeoutMinMs = 100;

/** How long ending a subscription or closing a link may take before it is left to itself. */
export const closeTimeoutMs = 2_000;

/** How long a receiver that stops waits for what is on its way. */
export const stopTimeoutMs = 5_000;

/**
 * Settlements and renewals that are on their way over the management link at once. More are no faster, and a client that
 * finds the link without credit sleeps for a second.
 */
export const managementInFlightMax = 16;

/** Disposition frames the lane causes in one turn of the event loop before it lets other events through. */
export const ticksPerTurnMax = 64;

/** How long a finished message may wait for an older one, so that both go into one frame. */
export const gapHoldMs = 10;

/** With this many deliveries out, a hold can never be what keeps more from coming: 25 000 a second pass through it. */
export const holdFreelyMin = 250;

/** Completes within that time from which on waiting pays. */
export const holdCountMin = 16;

/** A delivery whose lock ended this long ago counts as gone. */
export const lockGraceMs = 5_000;

/** Messages asked for in one look for a backlog, and looks at most. */
export const peekCount = 250;
export const peeksMax = 16;

/** Longest dead-letter reason and description the broker accepts. */
export const deadLetterTextMax = 4_096;

/** The largest batch that every tier takes, where the link allows more; larger messages go alone. */
export const batchBytesMax = 1_000_000;
export const batchMessagesMax = 2_000;

/** Batches on their way to one entity at once. */
export const batchesInFlightMax = 4;

/** Messages that may wait to be sent to one entity. */
export const messagesWaitingMax = 100_000;

/** Times the client sends again by itself before it reports a failure; the same ids make it harmless. */
export const sendRetriesMax = 2;

/** How long a batch waits to be accepted before it is sent again. */
export const sendTimeoutDefaultMs = 5_000;

/** How long one call for a batch may last; also the longest a message can wait for its batch to fill. */
export const batchWaitMs = 50;

/** A batch smaller than this is not worth its call. */
export const batchCreditMin = 32;

/** Batches in a row that did not fill, or were too small, before messages are streamed again. */
export const thinBatchesMax = 3;

/** Messages a second, kept up for as long as it takes to get `busyMessagesMin`, from which on batches are used. */
export const busyPerSecond = 2_000;
export const busyMessagesMin = 2_000;

/** Batches that lasted this long were worth the change. */
export const batchesWorthMs = 5_000;

/** How long messages are streamed after batches, at least; doubled each time that batches were not worth the change. */
export const holdoffMinMs = 250;
export const holdoffMaxMs = 60_000;
