/** Probes of each source: how the last one went, and one more at will. */
import { h, type ComponentChild } from "preact";
import { change, type Probe } from "./api.ts";
import { type Ask, Lever, type Question } from "./dialog.ts";
import { tableOf } from "./table.ts";

interface ProbesProps {
  readonly sources: readonly string[];
  /** The last one first. */
  readonly probes: readonly Probe[];
  readonly ask: Ask;
}

const weights: Readonly<Record<Probe["state"], string>> = {
  "under-way": "is-warn",
  completed: "is-good",
  "passed-by": "is-warn",
  failed: "is-bad",
  "timed-out": "is-bad",
};
const stages = ["send", "queue", "claim", "run", "settle"] as const;

function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 10_000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function question(source: string): Question {
  return {
    title: `Probe ${source}`,
    says: "An event of the worker's own goes the whole way, from the queue to its settlement by any worker of the pool, and is measured. It reaches none of your skills.",
    verb: "Send probe",
    act: (reason) => change("POST", `/probes?source=${encodeURIComponent(source)}`, { reason }),
  };
}

export function Probes({ sources, probes, ask }: ProbesProps): ComponentChild {
  const rows = sources.map((source) => {
    const last = probes.find((probe) => probe.source === source);
    return h(
      "tr",
      { key: source },
      h("th", { scope: "row" }, source),
      h(
        "td",
        { "data-name": "Last probe" },
        last === undefined
          ? h("span", { class: "quiet" }, "none yet")
          : [
              h("span", { class: `badge ${weights[last.state]}` }, last.state.replace("-", " ")),
              h("span", { class: "quiet" }, ` at ${new Date(last.sentAt).toLocaleTimeString()}`),
              last.why === "" ? null : h("div", { class: "trouble" }, last.why),
            ],
      ),
      h("td", { "data-name": "Critical time" }, ms(last?.criticalMs)),
      h("td", { "data-name": "By stage" }, last === undefined ? "–" : stages.map((stage) => `${stage} ${ms(last.stagesMs[stage])}`).join(", ")),
      ask === undefined ? null : h("td", { "data-name": "Do" }, h(Lever, { ask, question: question(source), label: `Probe ${source}`, text: "Probe …" })),
    );
  });
  return h(
    "section",
    { "aria-labelledby": "probes-title" },
    h("h2", { id: "probes-title" }, "Probes"),
    tableOf(["Source", "Last probe", "Critical time", "By stage", ...(ask === undefined ? [] : ["Do"])], rows),
  );
}
