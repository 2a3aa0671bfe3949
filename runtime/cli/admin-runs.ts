/** Runs that are called off, or carried on, over the admin API: as `holdfast runs cancel` and `resume` do it, for whose events they are. */
import type { RunChanged, RunOrdered } from "../admin/events.ts";
import { Problem } from "../admin/problem.ts";
import { composeReplay } from "../compose/dead-letters.ts";
import { ConfigurationError, HoldfastError } from "../core/errors.ts";
import { isOf, type Tenants } from "../core/tenants.ts";
import { findMessages, withoutOthers } from "../recovery/runs-messages.ts";
import { isOwn, type OwnPayloads, tenantOf } from "../recovery/whose.ts";
import { messagesPeekedMax, type Place } from "./admin-places.ts";
import { cancelRun } from "./runs-cancel.ts";
import type { Change, Told } from "./runs-change.ts";
import { kindsOf } from "./runs-records.ts";
import { resumeRun } from "./runs-resume.ts";

interface Whose {
  readonly tenants: Tenants;
  /** What the tenants' messages say is theirs; undefined for all of them. */
  readonly own: OwnPayloads | undefined;
  readonly signal: AbortSignal;
}

export function changeRun(place: Place, order: RunOrdered, { tenants, own, signal }: Whose): Promise<RunChanged> {
  const { config, directory } = place;
  const { eventId } = order;
  return place.queues.use((queues) =>
    place.letters.use((letters) =>
      place.records.use(async ({ store, records }) => {
        const surroundings = { ...(await composeReplay(config, directory)), store };
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
          async find(id) {
            const found = await findMessages(queues, letters, id, messagesPeekedMax, (delivery) => isOf(tenants, tenantOf(letters, delivery)));
            return own === undefined ? found : withoutOthers(found);
          },
          async view(id) {
            const known = await store.read(id);
            const view = known === undefined || own === undefined || isOwn(own, id, known.payloadHash) ? known : undefined;
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
  if (error.code === "HOLDFAST_UNKNOWN_RUN")
    return new Problem("not-found", `expected a record or a message of event '${eventId}', found neither; nothing was changed`);
  return error;
}
