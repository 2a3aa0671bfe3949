/** Runs under way, dead letters and their replays, and the story of one event. */
import { h, type ComponentChild } from "preact";
import { useState } from "preact/hooks";
import { change, type Explanation, get, type LetterGroup, messageOf, type Replay, type UnderWay } from "./api.ts";
import { type Ask, Lever, type Question } from "./dialog.ts";
import { tableOf } from "./table.ts";

interface Explains {
  readonly explain: (eventId: string) => void;
}

function EventButton({ eventId, explain }: { readonly eventId: string } & Explains): ComponentChild {
  return h("button", { type: "button", class: "is-link", "aria-label": `Explain ${eventId}`, onClick: () => explain(eventId) }, eventId);
}

const shownMax = 20;

export function Runs({ runs, explain }: { readonly runs: readonly UnderWay[] } & Explains): ComponentChild {
  const rows = runs.slice(0, shownMax).map(({ eventId, skill, stage, attempt, waitedFor, steps, enqueuedAtMs }) =>
    h(
      "tr",
      { key: `${eventId} ${enqueuedAtMs}` },
      h("td", { "data-name": "Event" }, eventId === "" ? "unreadable" : h(EventButton, { eventId, explain })),
      h("td", { "data-name": "Skill" }, skill),
      h("td", { "data-name": "Stage" }, stage, stage === "waiting" && waitedFor !== "" ? ` for ${waitedFor}` : ""),
      h("td", { "data-name": "Attempt" }, attempt === 0 ? "none yet" : attempt),
      h(
        "td",
        { "data-name": "Steps" },
        steps.length === 0
          ? "none yet"
          : h(
              "ol",
              { class: "steps" },
              steps.map(({ name, state }) => h("li", { key: name }, `${name} ${state === "completed" ? "✓" : "…"}`)),
            ),
      ),
    ),
  );
  return h(
    "section",
    { "aria-labelledby": "runs-title" },
    h("h2", { id: "runs-title" }, "Runs under way"),
    rows.length === 0 ? h("p", { class: "quiet" }, "None") : tableOf(["Event", "Skill", "Stage", "Attempt", "Steps"], rows),
    runs.length > shownMax ? h("p", { class: "quiet" }, `The first ${shownMax} that came`) : null,
  );
}

function replayQuestion({ fingerprint, count, example }: LetterGroup): Question {
  return {
    title: `Replay ${count} dead ${count === 1 ? "letter" : "letters"}`,
    says: `${example.class}: ${example.code}. First one letter, then ten, then all, at 50 a second; it stops when they fail again. Correct the cause first.`,
    verb: "Replay",
    choice: {
      label: "Go on",
      options: [
        ["checkpoint", "behind the last step"],
        ["start", "from the first step, with new idempotency keys"],
      ],
    },
    act: (reason, from) => change("POST", `/replays?source=${encodeURIComponent(example.source)}`, { group: fingerprint, expected: count, from, reason }),
  };
}

function replayText({ fingerprint, state, letters, replayed, completed, failed, why, trouble }: Replay): string {
  return `${fingerprint}: ${state}, ${replayed} of ${letters} replayed, ${completed} completed, ${failed} failed${why === "" ? "" : ` (${why})`}${trouble === "" ? "" : `; ${trouble}`}`;
}

interface LettersProps extends Explains {
  readonly groups: readonly LetterGroup[];
  readonly trouble: string;
  readonly replays: readonly Replay[];
  readonly ask: Ask;
}

export function Letters({ groups, trouble, replays, ask, explain }: LettersProps): ComponentChild {
  const rows = groups.map((group) => {
    const { fingerprint, count, last, eventTypes, example } = group;
    return h(
      "tr",
      { key: `${example.source} ${fingerprint}` },
      h("td", { "data-name": "Group", class: "id" }, fingerprint),
      h("td", { "data-name": "Letters" }, count),
      h(
        "td",
        { "data-name": "Failure" },
        h("strong", null, example.reason),
        ` ${example.class}: ${example.code}`,
        h("div", { class: "quiet" }, example.description.slice(0, 240)),
      ),
      h(
        "td",
        { "data-name": "Example" },
        example.eventId === "" ? eventTypes.join(", ") : h(EventButton, { eventId: example.eventId, explain }),
        h("div", { class: "quiet" }, new Date(last).toLocaleTimeString()),
      ),
      ask === undefined
        ? null
        : h(
            "td",
            { "data-name": "Do" },
            example.eventId === ""
              ? "no event id that can be read"
              : h(Lever, { ask, question: replayQuestion(group), label: `Replay group ${fingerprint}`, text: "Replay …" }),
          ),
    );
  });
  return h(
    "section",
    { "aria-labelledby": "letters-title" },
    h("h2", { id: "letters-title" }, "Dead letters"),
    trouble === "" ? null : h("p", { class: "trouble" }, trouble),
    rows.length === 0
      ? h("p", { class: "quiet" }, "None")
      : tableOf(["Group", "Letters", "Failure", "Last example", ...(ask === undefined ? [] : ["Do"])], rows),
    replays.length === 0
      ? null
      : [
          h("h3", null, "Replays"),
          h(
            "ul",
            { class: "replays", "aria-live": "polite" },
            replays.slice(0, 5).map((replay) => h("li", { key: replay.id }, replayText(replay))),
          ),
        ],
  );
}

interface StoryProps {
  readonly eventId: string;
  readonly story: Explanation | undefined;
  readonly trouble: string;
  readonly explain: (eventId: string) => void;
  readonly ask: Ask;
}

export function Story({ eventId, story, trouble, explain, ask }: StoryProps): ComponentChild {
  const [typed, setTyped] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    if (typed.trim() !== "") explain(typed.trim());
  };
  return h(
    "section",
    { "aria-labelledby": "story-title", id: "story" },
    h("h2", { id: "story-title", tabIndex: -1 }, eventId === "" ? "Explain an event" : `Event ${eventId}`),
    h(
      "form",
      { class: "line", onSubmit: submit },
      h(
        "div",
        null,
        h("label", { for: "event-id" }, "Event id"),
        h("input", {
          id: "event-id",
          autocomplete: "off",
          spellcheck: false,
          maxLength: 128,
          value: typed,
          onInput: (event: Event) => setTyped((event.target as HTMLInputElement).value),
        }),
      ),
      h("button", { type: "submit" }, "Explain"),
    ),
    trouble === "" ? null : h("p", { class: "trouble", role: "alert" }, trouble),
    story === undefined ? null : h(Told, { story, explain, ask }),
  );
}

/** What can be done with it by hand: nothing where it is done. */
function questionOf({ source, eventId, state }: Explanation, explain: (eventId: string) => void): Question | undefined {
  const path = `/runs/${encodeURIComponent(eventId)}`;
  const act = (verb: "cancel" | "resume", reason: string): Promise<void> =>
    change("POST", `${path}/${verb}?source=${encodeURIComponent(source)}`, { reason }).then(() => explain(eventId));
  if (state === "dead" || state === "parked")
    return {
      title: `Resume the run of ${eventId}`,
      says: "It goes on behind its last step, with its dead letter. Correct the cause first.",
      verb: "Resume run",
      act: (reason) => act("resume", reason),
    };
  if (state === "done") return undefined;
  return {
    title: `Cancel the run of ${eventId}`,
    says: "It stops at its next step boundary, or does not begin. A critical one is compensated; then its message is dead-lettered.",
    verb: "Cancel run",
    act: (reason) => act("cancel", reason),
  };
}

interface ToldProps extends Explains {
  readonly story: Explanation;
  readonly ask: Ask;
}

function Told({ story: told, explain, ask }: ToldProps): ComponentChild {
  const { skill, state, story, now, until } = told;
  const question = questionOf(told, explain);
  return h(
    "div",
    null,
    h("p", null, [skill, state].filter((part) => part !== "").join(", ")),
    h(
      "ol",
      { class: "story" },
      story.map(({ at, source, text }, index) =>
        h("li", { key: index }, h("time", { dateTime: at }, at.slice(11, 23)), h("span", { class: "badge" }, source), " ", text),
      ),
    ),
    h("p", null, h("strong", null, "Now: "), now, until === null ? "" : `, until ${until}`),
    question === undefined ? null : h(Lever, { ask, question, text: `${question.verb} …` }),
  );
}

export async function explanationOf(eventId: string): Promise<{ readonly story: Explanation | undefined; readonly trouble: string }> {
  try {
    return { story: await get<Explanation>(`/runs/${encodeURIComponent(eventId)}/explanation`), trouble: "" };
  } catch (error) {
    return { story: undefined, trouble: messageOf(error) };
  }
}
