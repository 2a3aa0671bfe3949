/** Operations on events: their records, their story, their dead letters, and how they are brought back. */
import { type ResumeFrom, whoCharactersMax } from "../core/history.ts";
import type { RunState } from "../core/run.ts";
import type { GroupReport } from "../recovery/replay.ts";
import { change, type Operation, read } from "./operations.ts";
import { Problem } from "./problem.ts";

export interface RunsQuery {
  readonly states: readonly RunState[];
  readonly skill: string | undefined;
  readonly limit: number;
}

export interface ReplayOrdered {
  readonly group: string;
  /** Letters that whoever orders it has seen. */
  readonly expected: number;
  readonly from: ResumeFrom;
  readonly repeatsInDoubt: boolean;
  readonly reason: string;
  /** Who orders it. */
  readonly who: string;
}

/** A replay that was ordered here; it ends with this worker at the latest, and what is left lies where it was. */
export interface ReplayView extends GroupReport {
  readonly id: string;
  readonly orderedAt: string;
  /** Why it could not go on; empty where nothing kept it from that. */
  readonly trouble: string;
}

/** The first source is meant where none is named. Each throws `Problem`. */
export interface EventDoors {
  runs(source: string | undefined, query: RunsQuery): Promise<object>;
  /** Undefined when there is no record of it. */
  run(source: string | undefined, eventId: string): Promise<object | undefined>;
  /** Undefined when nothing is known of it. */
  explain(source: string | undefined, eventId: string): Promise<object | undefined>;
  deadLetters(source: string | undefined): Promise<readonly object[]>;
  /** Answers once the letters are found and the first is about to be sent. */
  replay(source: string | undefined, order: ReplayOrdered): Promise<ReplayView>;
  replays(): readonly ReplayView[];
}

const runsDefault = 50;

export function events(doors: EventDoors): readonly (readonly [string, Operation])[] {
  const found = (what: object | undefined, eventId: string): object => {
    if (what === undefined)
      throw new Problem("not-found", `expected a record of event '${eventId}', found none: it was never claimed here, or its record is past its retention`);
    return what;
  };
  return [
    [
      "listRuns",
      read(async ({ query }) => {
        const states = query["state"] === undefined ? [] : [query["state"] as RunState];
        return { body: await doors.runs(query["source"], { states, skill: query["skill"], limit: Number(query["limit"] ?? runsDefault) }) };
      }),
    ],
    ["getRun", read(async ({ params: { eventId = "" }, query }) => ({ body: found(await doors.run(query["source"], eventId), eventId) }))],
    ["explainRun", read(async ({ params: { eventId = "" }, query }) => ({ body: found(await doors.explain(query["source"], eventId), eventId) }))],
    ["listDeadLetters", read(async ({ query }) => ({ body: await doors.deadLetters(query["source"]) }))],
    ["listReplays", read(() => ({ body: doors.replays() }))],
    [
      "getReplay",
      read(({ params: { id = "" } }) => {
        const replay = doors.replays().find((one) => one.id === id);
        if (replay === undefined) throw new Problem("not-found", `expected a replay that was ordered here, found none '${id}'`);
        return { body: replay };
      }),
    ],
    [
      "startReplay",
      change(async ({ body, query, caller }) => {
        const order: ReplayOrdered = {
          group: String(body["group"]),
          expected: Number(body["expected"]),
          from: body["from"] === "start" ? "start" : "checkpoint",
          repeatsInDoubt: body["repeatInDoubt"] === true,
          reason: String(body["reason"]),
          who: caller.who.slice(0, whoCharactersMax),
        };
        const replay = await doors.replay(query["source"], order);
        return {
          status: 202,
          location: `/api/v1/replays/${replay.id}`,
          body: replay,
          target: order.group,
          before: { letters: order.expected },
          after: { replay: replay.id, from: order.from },
        };
      }),
    ],
  ];
}
