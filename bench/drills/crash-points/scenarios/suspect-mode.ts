import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

const lostAtMs = 300;
/** No doubt about an event that comes so late, whenever the loss is noticed. */
const certainAtMs = 30_000;

const parked = "dead-lettered: OutcomeUnknown";
/** With a crash besides. */
const orEnds: Readonly<Record<string, readonly string[]>> = {
  // When no worker had met the store before, nothing was lost; what was parked before the loss has no record after it.
  parked: ["completed", `${parked}, without a record`],
  // A crash between intent and checkpoint leaves it in doubt, too.
  certain: [parked],
};

/**
 * The store loses its records while runs are behind their effects. What can be looked for is looked for, what can neither be
 * looked for nor repeated is parked; an event that comes after the loss runs as always.
 */
export const suspectMode: Scenario = {
  name: "suspect-mode",
  dependencies: ({ ledger, search }) => [ledger, search],
  skills: ({ ledger, search }) => [
    defineSkill<{ readonly kind: "queryable" | "atMostOnce" }>({
      name: "task",
      handles,
      uses: [ledger, search],
      retry: quickRetry,
      async run(context) {
        const { eventId, payload } = context.event;
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        if (payload.kind === "atMostOnce") await context.step("pay", { kind: "atMostOnce" }, (step) => step.call(ledger, { deed: "pay" }));
        else {
          const query = (step: Parameters<Parameters<typeof context.step>[2]>[0]) => step.call(search, { eventId, deed: "pay" });
          await context.step("pay", { kind: "queryable", query }, (step) => step.call(ledger, { deed: "pay" }));
        }
        await context.step("late", {}, (step) => step.call(ledger, { deed: "late", takesMs: 1_000 }));
      },
    }),
  ],
  events: [
    { eventId: "found", payload: { kind: "queryable" } },
    { eventId: "parked", payload: { kind: "atMostOnce" } },
    { eventId: "certain", payload: { kind: "atMostOnce" }, atMs: certainAtMs },
  ],
  happens: (happenings) => happenings.at(lostAtMs, () => happenings.storeEmptied()),
  expected: Object.fromEntries(
    ["found", "parked", "certain"].map((id) => [
      id,
      {
        ends: id === "parked" ? parked : "completed",
        ...(id in orEnds ? { orEnds: orEnds[id] } : {}),
        deeds: [
          { deed: "one", happens: "per-key" as const },
          { deed: "pay", happens: "once" as const },
          { deed: "late", happens: "per-key" as const },
        ],
        emits: 0,
      },
    ]),
  ),
};
