/** What is wrong, in a sentence each, the worst first: the first thing that the page says. */
import { h, type ComponentChild } from "preact";
import type { Bulkhead, Circuit, Fleet, LetterGroup, Limit, Probe, Worker } from "./api.ts";

export interface News {
  readonly weight: "bad" | "warn";
  readonly text: string;
}

export interface Seen {
  readonly worker: Worker;
  readonly bulkheads: readonly Bulkhead[];
  readonly circuits: readonly Circuit[];
  readonly limits: readonly Limit[];
  readonly probes: readonly Probe[];
  readonly fleet: Fleet;
  readonly letters: readonly LetterGroup[];
}

export function newsOf({ worker, bulkheads, circuits, limits, probes, fleet, letters }: Seen): readonly News[] {
  const bad = (text: string): News => ({ weight: "bad", text });
  const warn = (text: string): News => ({ weight: "warn", text });
  return [
    ...worker.live.why.map(bad),
    ...(worker.isPaused ? [warn("Nothing is received: it was paused by hand")] : []),
    ...worker.ready.why.filter((why) => !why.includes("paused")).map((why) => bad(`Nothing is received: ${why}`)),
    ...worker.sources.flatMap(({ source, trouble }) => (trouble === undefined ? [] : [bad(`The source ${source} is ${trouble}`)])),
    ...circuits
      .filter(({ state }) => state !== "closed")
      .map(({ dependency, state }) => (state === "half-open" ? warn : bad)(`The circuit of ${dependency} is ${state}`)),
    ...bulkheads
      .filter(({ inUse, settings }) => inUse >= settings.concurrentMax)
      .map(({ dependency, waiting }) =>
        waiting > 0 ? bad(`The bulkhead of ${dependency} is full, and ${waiting} wait for it`) : warn(`The bulkhead of ${dependency} is full`),
      ),
    ...[...new Set(worker.intake.filter(({ isStill }) => isStill).map(stillText))].map(bad),
    ...fleet.workers
      .filter(({ isThisOne, state }) => !isThisOne && state !== "ready")
      .map(({ name, state, why }) => (state === "not-ready" ? bad : warn)(`The worker ${name} is ${state.replace("-", " ")}: ${why.join(", ")}`)),
    ...(fleet.trouble === "" ? [] : [warn(`Other workers of the pool cannot be seen: ${fleet.trouble}`)]),
    ...worker.sources.flatMap(({ source }) => {
      const last = probes.find((probe) => probe.source === source);
      return last === undefined || last.why === "" || last.state === "passed-by"
        ? []
        : [bad(`The last probe of ${source} has ${last.state === "failed" ? "failed" : "not come back"}: ${last.why}`)];
    }),
    ...(worker.threads.stuck > 0 ? [bad(`${worker.threads.stuck} skill threads are stuck`)] : []),
    ...(worker.threads.missing > 0 ? [bad(`${worker.threads.missing} skill threads could not be replaced, and are missing`)] : []),
    ...worker.storeSuspect.map(({ why }) => bad(`The run store is in doubt: ${why}`)),
    ...(worker.loadShedding.isActive ? [warn(`Less important messages are given back because of ${worker.loadShedding.why ?? "load"}`)] : []),
    ...[...worker.latency.skills, ...worker.latency.dependencies]
      .filter(({ state }) => state.includes("slow"))
      .map(({ skill, dependency, state }) =>
        warn(`${skill === undefined ? `Calls of ${dependency ?? ""}` : `Runs of ${skill}`} are ${state.replace("-", " ")}`),
      ),
    ...limits.filter(({ waiting }) => waiting > 0).map(({ dependency, waiting }) => warn(`A limit of ${dependency} is used up, and ${waiting} wait for it`)),
    ...letters
      .slice(0, 3)
      .map(({ count, example }) =>
        warn(`${count} dead ${count === 1 ? "letter" : "letters"}: ${example.reason}${example.skill === "" ? "" : ` in ${example.skill}`}`),
      ),
  ];
}

function stillText({ skill, running, waiting, stillMs, behind }: Worker["intake"][number]): string {
  const where = behind.length === 0 ? "" : ` in ${behind.join(", ")}`;
  return `No run of ${skill} has ended for ${Math.round(stillMs / 1_000)} s: ${running} hang${where}, and ${waiting} wait for them`;
}

export function NewsSection({ news }: { readonly news: readonly News[] }): ComponentChild {
  const worst = news.some(({ weight }) => weight === "bad") ? " is-bad" : news.length > 0 ? " is-warn" : "";
  return h(
    "section",
    { class: `news${worst}`, "aria-labelledby": "news-title" },
    h("h2", { id: "news-title" }, "What is wrong"),
    h(
      "div",
      { role: "status", "aria-live": "polite" },
      news.length === 0
        ? h("p", null, "Nothing: all that is looked at is well")
        : h(
            "ul",
            null,
            news.map(({ weight, text }) =>
              h("li", { key: text }, h("span", { class: `badge is-${weight}` }, weight === "bad" ? "trouble" : "note"), " ", text),
            ),
          ),
    ),
  );
}
