/** Every worker of the pool, as it was last heard of through the store; what is wrong stands first. */
import { h, type ComponentChild } from "preact";
import type { Fleet, FleetWorker } from "./api.ts";
import { tableOf } from "./table.ts";

const weights: Readonly<Record<FleetWorker["state"], string>> = { ready: "is-good", paused: "is-warn", draining: "is-warn", "not-ready": "is-bad" };

function lag(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function Row({ worker }: { readonly worker: FleetWorker }): ComponentChild {
  const { name, version, since, state, why, completedPerSecond, lagMs, inFlight, executing, threads, circuitsOpen, deadLettersPerMinute, adminUrl, isThisOne } =
    worker;
  return h(
    "tr",
    { key: name },
    h(
      "th",
      { scope: "row" },
      h("span", { class: "id" }, name),
      isThisOne ? [" ", h("span", { class: "badge" }, "this one")] : null,
      h(
        "div",
        { class: "quiet" },
        `version ${version}, since ${new Date(since).toLocaleString()}`,
        adminUrl === null || isThisOne ? null : [" · ", h("a", { href: adminUrl, rel: "noreferrer" }, "its page")],
      ),
    ),
    h(
      "td",
      { "data-name": "State" },
      h("span", { class: `badge ${weights[state]}` }, state.replace("-", " ")),
      why.length === 0 ? null : h("div", { class: "quiet" }, why.join(", ")),
    ),
    h("td", { "data-name": "Completed a second" }, completedPerSecond),
    h("td", { "data-name": "Lag" }, lag(lagMs)),
    h("td", { "data-name": "Held" }, `${inFlight}, ${executing} on ${threads} ${threads === 1 ? "thread" : "threads"}`),
    h("td", { "data-name": "Circuits open" }, circuitsOpen.length === 0 ? "none" : h("span", { class: "badge is-bad" }, circuitsOpen.join(", "))),
    h("td", { "data-name": "Dead letters a minute" }, deadLettersPerMinute),
  );
}

export function Workers({ fleet: { workers, trouble } }: { readonly fleet: Fleet }): ComponentChild {
  const ready = workers.filter(({ state }) => state === "ready").length;
  const completed = workers.reduce((sum, { completedPerSecond }) => sum + completedPerSecond, 0);
  return h(
    "section",
    { "aria-labelledby": "workers-title" },
    h("h2", { id: "workers-title" }, `Workers of the pool: ${ready} of ${workers.length} ready, ${Math.round(completed * 10) / 10} completed a second`),
    trouble === "" ? null : h("p", { class: "trouble" }, `Others cannot be seen: ${trouble}`),
    tableOf(
      ["Worker", "State", "Completed a second", "Lag", "Held", "Circuits open", "Dead letters a minute"],
      workers.map((worker) => h(Row, { worker })),
    ),
  );
}
