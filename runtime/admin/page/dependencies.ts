/** Bulkheads, lanes, circuits and limits of each dependency, and the circuits' levers. */
import { h, type ComponentChild } from "preact";
import { type Bulkhead, change, type Circuit, type Limit } from "./api.ts";
import { type Ask, Lever, type Question } from "./dialog.ts";
import { Fill } from "./fill.ts";
import { tableOf } from "./table.ts";

interface DependenciesProps {
  readonly bulkheads: readonly Bulkhead[];
  readonly circuits: readonly Circuit[];
  readonly limits: readonly Limit[];
  readonly ask: Ask;
}

const weights: Readonly<Record<Circuit["state"], string>> = { closed: "is-good", open: "is-bad", "half-open": "is-warn", isolated: "is-bad" };

function CircuitCell({ circuit, ask }: { readonly circuit: Circuit; readonly ask: DependenciesProps["ask"] }): ComponentChild {
  const { dependency, state, failures, calls, opensInMs } = circuit;
  const set = (title: string, says: string, verb: string, to: string): Question => ({
    title,
    says,
    verb,
    act: (reason) => change("PUT", `/circuits/${encodeURIComponent(dependency)}`, { state: to, reason }),
  });
  const open = set(`Open the circuit of ${dependency}`, "Runs that use it are postponed until it is closed by hand.", "Open circuit", "isolated");
  const close = set(`Close the circuit of ${dependency}`, "Runs that use it begin again, and what it has counted is forgotten.", "Close circuit", "closed");
  return h(
    "div",
    null,
    h("span", { class: `badge ${weights[state]}` }, state),
    h("span", { class: "quiet" }, ` ${failures} of ${calls} failed${opensInMs > 0 ? `, a probe in ${Math.ceil(opensInMs / 1_000)} s` : ""}`),
    h(
      "div",
      { class: "actions" },
      state === "closed"
        ? h(Lever, { ask, question: open, label: `Open the circuit of ${dependency}`, text: "Open …" })
        : h(Lever, { ask, question: close, label: `Close the circuit of ${dependency}`, text: "Close …" }),
    ),
  );
}

function limitText({ policy: { by, requestsPerMinute, tokensPerMinute }, waiting, usedUp }: Limit): string {
  const parts = [
    requestsPerMinute === undefined ? "" : `${requestsPerMinute} requests/min`,
    tokensPerMinute === undefined ? "" : `${tokensPerMinute} tokens/min`,
    by === undefined ? "" : `by ${by}`,
  ];
  const used = usedUp.length === 0 ? "" : `, ${usedUp.length} used up`;
  return `${parts.filter((part) => part !== "").join(", ")}: ${waiting} wait${used}`;
}

export function Dependencies({ bulkheads, circuits, limits, ask }: DependenciesProps): ComponentChild {
  const rows = bulkheads.map((bulkhead) => {
    const { dependency, inUse, waiting, laneMax, settings } = bulkhead;
    const circuit = circuits.find((one) => one.dependency === dependency);
    const own = limits.filter((one) => one.dependency === dependency);
    return h(
      "tr",
      { key: dependency },
      h("th", { scope: "row" }, dependency),
      h("td", { "data-name": "Bulkhead" }, h(Fill, { label: `Bulkhead of ${dependency}`, value: inUse, max: settings.concurrentMax })),
      h("td", { "data-name": "Lane" }, h(Fill, { label: `Lane of ${dependency}`, value: waiting, max: laneMax })),
      h("td", { "data-name": "Circuit" }, circuit === undefined ? null : h(CircuitCell, { circuit, ask })),
      h("td", { "data-name": "Limits" }, own.length === 0 ? "none" : own.map((limit) => h("div", { key: limit.policy.by ?? "" }, limitText(limit)))),
    );
  });
  return h(
    "section",
    { "aria-labelledby": "dependencies-title" },
    h("h2", { id: "dependencies-title" }, "Dependencies"),
    rows.length === 0 ? h("p", { class: "quiet" }, "No skill uses any") : tableOf(["Dependency", "Bulkhead", "Lane", "Circuit", "Limits"], rows),
  );
}
