/** What is held of each skill from each source, how much may be, and what keeps it from being more. */
import { h, type ComponentChild } from "preact";
import type { Worker } from "./api.ts";
import { Fill } from "./fill.ts";
import { tableOf } from "./table.ts";

type Place = Worker["intake"][number];

const bounds: Readonly<Record<Place["boundBy"], string>> = {
  rate: "how soon runs end",
  memory: "memory",
  bulkhead: "a dependency",
  limit: "a limit",
  order: "the order of sessions",
  ceiling: "inFlightMax",
};

function Row({ place }: { readonly place: Place }): ComponentChild {
  const { source, skill, held, window, boundBy, running, concurrentMax, waiting } = place;
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, skill, " ", h("div", { class: "quiet" }, `from ${source}`)),
    h("td", { "data-name": "Held" }, h(Fill, { label: `Window of ${skill} from ${source}`, value: held, max: window })),
    h("td", { "data-name": "Bounded by" }, bounds[boundBy]),
    h("td", { "data-name": "Running" }, h(Fill, { label: `Running of ${skill}`, value: running, max: concurrentMax })),
    h("td", { "data-name": "Waiting" }, waiting),
  );
}

/** Of many sources and skills most have nothing here. */
export function Intake({ intake }: Pick<Worker, "intake">): ComponentChild {
  const places = intake.filter(({ held }) => held > 0);
  return h(
    "section",
    { "aria-labelledby": "intake-title" },
    h("h2", { id: "intake-title" }, "Intake"),
    places.length === 0
      ? h("p", { class: "quiet" }, "Nothing is held")
      : tableOf(
          ["Skill", "Held", "Bounded by", "Running", "Waiting"],
          places.map((place) => h(Row, { key: `${place.source} ${place.skill}`, place })),
        ),
  );
}
