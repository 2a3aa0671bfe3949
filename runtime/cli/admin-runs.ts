/** Runs that are called off, or carried on, over the admin API: as `holdfast runs cancel` and `resume` do it, for whose events they are. */
import type { RunChanged, RunOrdered } from "../admin/events.ts";
import { Problem } from "../admin/problem.ts";
import { composeReplay } from "../compose/dead-letters.ts";
import { ConfigurationError, HoldfastError } from "../core/errors.ts";
import type { Tenants } from "../core/tenants.ts";
import { findMessages } from "../recovery/runs-messages.ts";
import { findOwn } from "../recovery/whose.ts";
import { messagesPeekedMax, type Place } from "./admin-places.ts";
import { cancelRun } from "./runs-cancel.ts";
import type { Change, Told, Ways } from "./runs-change.ts";
import { kindsOf } from "./runs-records.ts";
import { resumeRun } from "./runs-resume.ts";

const ways: Ways = {
  bringMessage: "send the event again, with the same id and payload",
  see: (eventId) => `GET /api/v1/runs/${encodeURIComponent(eventId)}/explanation shows what becomes of it`,
  closeLetter: "its dead letter goes with a replay (POST /api/v1/replays), or by the command 'holdfast dlq purge', which the API does not have",
};

interface Whose {
  readonly tenants: Tenants;
  readonly signal: AbortSignal;
}

export function changeRun(place: Place, order: RunOrdered, { tenants, signal }: Whose): Promise<RunChanged> {
  const { config, directory } = place;
  const { eventId } = order;
  return place.queues.use((queues) =>
    place.letters.use((letters) =>
      place.records.use(async ({ store, records }) => {
        const surroundings = { ...(await composeReplay(config, directory)), store };
        const { hashPayload } = surroundings;
        const theirs = tenants === undefined ? undefined : await findOwn({ queues, letters, hashPayload }, tenants, eventId, messagesPeekedMax);
        let was = "no record";
        const open: Change = {
          loaded: { config },
          store,
          records,
          // Of skills that were started since then, too.
          kinds: await kindsOf(records),
          signal,
          letters,
          surroundings,
          ways,
          find: (id) => (theirs === undefined ? findMessages(queues, letters, id, messagesPeekedMax) : Promise.resolve(theirs.found)),
          async view(id) {
            const view = await store.read(id);
            // Theirs would run under another's record: nothing can be said of it but that it is not there.
            if (view !== undefined && theirs?.own.has(id, view.payloadHash) === false) throw unknown(id);
            was = view?.state ?? was;
            return view;
          },
        };
        try {
          await surroundings.publisher.start();
          const { did } = await carryOut(open, order);
          return { eventId, was, did, dryRun: order.dryRun };
        } catch (error) {
          throw problemOf(error, eventId);
        } finally {
          await surroundings.publisher.stop();
        }
      }),
    ),
  );
}

function carryOut(open: Change, { eventId, to, reason, who, dryRun, repeatsInDoubt }: RunOrdered): Promise<Told> {
  switch (to) {
    case "cancel":
      return cancelRun(open, eventId, { reason, who }, dryRun);
    case "resume":
      return resumeRun(open, eventId, { reason, who }, { dryRun, repeatInDoubt: repeatsInDoubt, wait: 0 });
  }
}

/** What the command would say it cannot do is no failure of the server; whether there are other events like it is not told. */
function problemOf(error: unknown, eventId: string): unknown {
  if (error instanceof ConfigurationError) return new Problem("bad-request", error.message);
  if (!(error instanceof HoldfastError)) return error;
  if (error.code === "HOLDFAST_RUN_STATE") return new Problem("conflict", error.message);
  return error.code === "HOLDFAST_UNKNOWN_RUN" ? unknown(eventId) : error;
}

function unknown(eventId: string): Problem {
  return new Problem("not-found", `expected a record or a message of event '${eventId}', found neither; nothing was changed`);
}
