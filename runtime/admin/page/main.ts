/** The live page of one worker: what is wrong, how it runs, what it holds, and the levers. It asks its own server, and nobody else. */
import { Fragment, h, render, type ComponentChild, type ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import {
  type Bulkhead,
  type Caller,
  change,
  type Circuit,
  type Explanation,
  type Fleet,
  get,
  keepToken,
  type LetterGroup,
  type Limit,
  mayChange,
  messageOf,
  type Point,
  type Probe,
  Refusal,
  type Replay,
  type UnderWay,
  type Worker,
} from "./api.ts";
import { Chart, type Curve } from "./chart.ts";
import { Dependencies } from "./dependencies.ts";
import { type Ask, Dialog, Lever, type Question } from "./dialog.ts";
import { explanationOf, Letters, Runs, Story } from "./events.ts";
import { Intake } from "./intake.ts";
import { newsOf, NewsSection } from "./news.ts";
import { Probes } from "./probes.ts";
import { Leave, TenantPage } from "./tenant.ts";
import { Workers } from "./workers.ts";

const lookEveryMs = 1_000;
/** Letters are looked through at the broker each time. */
const lettersEveryMs = 5_000;
const pointsMax = 600;

interface State {
  readonly worker: Worker;
  readonly bulkheads: readonly Bulkhead[];
  readonly circuits: readonly Circuit[];
  readonly limits: readonly Limit[];
  readonly runs: readonly UnderWay[];
  readonly probes: readonly Probe[];
  readonly fleet: Fleet;
  readonly points: readonly Point[];
}

async function look(before: State | undefined): Promise<State> {
  const known = before?.points ?? [];
  const [worker, bulkheads, circuits, limits, runs, probes, fleet, points] = await Promise.all([
    get<Worker>("/worker"),
    get<readonly Bulkhead[]>("/bulkheads"),
    get<readonly Circuit[]>("/circuits"),
    get<readonly Limit[]>("/limits"),
    get<readonly UnderWay[]>("/under-way?limit=21"),
    get<readonly Probe[]>("/probes"),
    get<Fleet>("/workers"),
    get<readonly Point[]>(`/history?after=${known.at(-1)?.atMs ?? 0}`),
  ]);
  return { worker, bulkheads, circuits, limits, runs, probes, fleet, points: [...known, ...points].slice(-pointsMax) };
}

/** What takes long is asked for less often: at most a tenth of the time. */
const restsFor = 10;

/** Calls again and again, one call at a time, while the page is seen. */
function every(ms: number, act: () => Promise<void>): () => void {
  let timer = 0;
  let isOver = false;
  const go = async (): Promise<void> => {
    const beganMs = performance.now();
    if (!document.hidden) await act();
    if (!isOver) timer = setTimeout(() => void go(), Math.max(ms, restsFor * (performance.now() - beganMs)));
  };
  void go();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

function Figures({ worker, points }: { readonly worker: Worker; readonly points: readonly Point[] }): ComponentChild {
  const last = points.at(-1);
  const sum = (pick: (point: Point) => number): number => points.slice(-60).reduce((total, point) => total + pick(point), 0);
  const figures = [
    ["Completed a second", last?.completed ?? 0],
    ["In the queue", worker.backlog.length === 0 ? "–" : worker.backlog.reduce((total, { active, scheduled }) => total + active + scheduled, 0)],
    ["Held", worker.inFlight],
    [`Executing, on ${worker.threadsConfigured} ${worker.threadsConfigured === 1 ? "thread" : "threads"}`, worker.executing],
    ["Dead-lettered, last minute", sum(({ deadLettered }) => deadLettered)],
    ["Retried, last minute", sum(({ retried }) => retried)],
    ["Retry budget left", worker.retryBudget.left],
  ] as const;
  return h(
    "dl",
    { class: "figures" },
    figures.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value))),
  );
}

function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function Charts({ points }: { readonly points: readonly Point[] }): ComponentChild {
  const timesMs = points.map(({ atMs }) => atMs);
  const last = points.at(-1);
  const curve = (name: string, colour: Curve["colour"], pick: (point: Point) => number | null, now: string): Curve => ({
    name,
    colour,
    values: points.map(pick),
    now,
  });
  const count = (value: number | undefined): string => String(value ?? 0);
  const seconds = (value: number | null): number | null => (value === null ? null : value / 1_000);
  return h(
    "section",
    { "aria-labelledby": "curves-title" },
    h("h2", { id: "curves-title" }, "The last ten minutes"),
    h(
      "div",
      { class: "charts" },
      h(Chart, {
        title: "Throughput",
        unit: "messages a second",
        timesMs,
        curves: [
          curve("completed", "accent", ({ completed }) => completed, count(last?.completed)),
          curve("retried", "warn-fill", ({ retried }) => retried, count(last?.retried)),
          curve("dead-lettered", "bad-fill", ({ deadLettered }) => deadLettered, count(last?.deadLettered)),
        ],
      }),
      h(Chart, {
        title: "Latency, enqueued to settled",
        unit: "seconds",
        timesMs,
        curves: [
          curve("p50", "accent", ({ p50Ms }) => seconds(p50Ms), ms(last?.p50Ms)),
          curve("p99", "warn-fill", ({ p99Ms }) => seconds(p99Ms), ms(last?.p99Ms)),
        ],
      }),
      h(Chart, { title: "Lag: age of what comes", unit: "seconds", timesMs, curves: [curve("lag", "accent", ({ lagMs }) => lagMs / 1_000, ms(last?.lagMs))] }),
    ),
  );
}

function Head({ worker, caller, ask }: { readonly worker: Worker; readonly caller: Caller; readonly ask: Ask }): ComponentChild {
  const { isPaused, ready, phase } = worker;
  const state = isPaused ? "paused" : phase === "running" ? (ready.isWell ? "ready" : "not ready") : phase;
  const pause: Question = {
    title: "Pause",
    says: "No more messages are taken. What is here goes on.",
    verb: "Pause",
    act: (reason) => change("POST", "/pause", { reason }),
  };
  const resume: Question = { title: "Resume", says: "Messages are taken again.", verb: "Resume", act: (reason) => change("POST", "/resume", { reason }) };
  return h(
    "header",
    null,
    h("h1", null, "Holdfast"),
    h("span", { class: `badge ${state === "ready" ? "is-good" : state === "paused" ? "is-warn" : "is-bad"}` }, state),
    h("span", { class: "who" }, worker.worker),
    h(Leave, { caller }),
    h(Lever, { ask, question: isPaused ? resume : pause, text: isPaused ? "Resume …" : "Pause …" }),
  );
}

function TokenForm({ refused, kept }: { readonly refused: string; readonly kept: () => void }): ComponentChild {
  const [token, setToken] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    keepToken(token.trim());
    kept();
  };
  return h(
    "main",
    null,
    h("h1", null, "Holdfast"),
    h(
      "section",
      null,
      h("h2", null, "A token is needed"),
      h("p", { class: "quiet" }, refused),
      h(
        "form",
        { class: "line", onSubmit: submit },
        h(
          "div",
          null,
          h("label", { for: "token" }, "Bearer token, kept for this tab"),
          h("input", {
            id: "token",
            type: "password",
            autocomplete: "off",
            value: token,
            onInput: (event: Event) => setToken((event.target as HTMLInputElement).value),
          }),
        ),
        h("button", { type: "submit", class: "is-main" }, "Use it"),
      ),
    ),
  );
}

interface Told {
  readonly eventId: string;
  readonly story: Explanation | undefined;
  readonly trouble: string;
}

const nothingTold: Told = { eventId: "", story: undefined, trouble: "" };

function Page(): ComponentChild {
  const [caller, setCaller] = useState<Caller | undefined>(undefined);
  const [state, setState] = useState<State | undefined>(undefined);
  const [ownRuns, setOwnRuns] = useState<readonly UnderWay[]>([]);
  const [refused, setRefused] = useState("");
  const [lost, setLost] = useState("");
  const [groups, setGroups] = useState<readonly LetterGroup[]>([]);
  const [lettersTrouble, setLettersTrouble] = useState("");
  const [replays, setReplays] = useState<readonly Replay[]>([]);
  const [question, setQuestion] = useState<Question | undefined>(undefined);
  const [told, setTold] = useState(nothingTold);
  // What was replayed lies there no more.
  const moved = replays.reduce((total, { replayed }) => total + replayed, 0);
  useEffect(() => {
    if (refused !== "") return undefined;
    let known: State | undefined;
    let who: Caller | undefined;
    return every(lookEveryMs, async () => {
      try {
        who ??= await get<Caller>("/caller");
        setCaller(who);
        if (who.tenants === null) {
          known = await look(known);
          setState(known);
        } else setOwnRuns(await get<readonly UnderWay[]>("/under-way?limit=21"));
        setLost("");
        setReplays(await get<readonly Replay[]>("/replays"));
      } catch (error) {
        if (error instanceof Refusal && (error.status === 401 || error.status === 403)) setRefused(error.message);
        else setLost(messageOf(error));
      }
    });
  }, [refused]);
  useEffect(() => {
    if (refused !== "") return undefined;
    return every(lettersEveryMs, async () => {
      try {
        setGroups(await get<readonly LetterGroup[]>("/dead-letters"));
        setLettersTrouble("");
      } catch (error) {
        setLettersTrouble(messageOf(error));
      }
    });
  }, [refused, moved]);
  const explain = (eventId: string): void => {
    setTold({ ...nothingTold, eventId });
    void explanationOf(eventId).then((answer) => {
      setTold({ eventId, ...answer });
      document.getElementById("story-title")?.focus();
    });
  };
  if (refused !== "") return h(TokenForm, { refused, kept: () => setRefused("") });
  const ask: Ask = caller !== undefined && mayChange(caller) ? setQuestion : undefined;
  const letters = h(Letters, { groups, trouble: lettersTrouble, replays, ask, explain });
  const story = h(Story, { ...told, explain, ask });
  const dialog = question === undefined ? null : h(Dialog, { question, close: () => setQuestion(undefined) });
  if (caller?.tenants !== undefined && caller.tenants !== null)
    return h(Fragment, null, h(TenantPage, { caller, tenants: caller.tenants, lost }, letters, story, h(Runs, { runs: ownRuns, explain })), dialog);
  if (state === undefined || caller === undefined)
    return h("main", null, h("h1", null, "Holdfast"), h("p", { role: "status" }, lost === "" ? "Asking the worker …" : `The worker does not answer: ${lost}`));
  return h(Fragment, null, h(WorkerPage, { state, caller, lost, groups, explain, ask }, letters, story), dialog);
}

interface WorkerPageProps {
  readonly state: State;
  readonly caller: Caller;
  /** Why the worker cannot be asked; empty while it can. */
  readonly lost: string;
  readonly groups: readonly LetterGroup[];
  readonly explain: (eventId: string) => void;
  readonly ask: Ask;
  /** What is about events. */
  readonly children?: ComponentChildren;
}

function WorkerPage({ state, caller, lost, groups, explain, ask, children }: WorkerPageProps): ComponentChild {
  const { worker, bulkheads, circuits, limits, runs, probes, fleet, points } = state;
  const news = newsOf({ worker, bulkheads, circuits, limits, probes, fleet, letters: groups });
  return h(
    Fragment,
    null,
    h("a", { class: "skip", href: "#main" }, "To what is wrong"),
    h(Head, { worker, caller, ask }),
    h(
      "main",
      { id: "main" },
      h(NewsSection, { news: lost === "" ? news : [{ weight: "bad", text: `The worker does not answer: ${lost}` }] }),
      h("section", { "aria-label": "Figures" }, h(Figures, { worker, points })),
      h(Charts, { points }),
      h(Workers, { fleet }),
      h(Intake, worker),
      h(Dependencies, { bulkheads, circuits, limits, ask }),
      children,
      h(Runs, { runs, explain }),
      h(Probes, { sources: worker.sources.map(({ source }) => source), probes, ask }),
    ),
  );
}

const place = document.getElementById("page");
if (place !== null) {
  place.replaceChildren();
  render(h(Page, null), place);
}
