/** Operations on events: their records, their story, their dead letters, and how they are brought back. */
import { type ResumeFrom, whoCharactersMax } from "../core/history.ts";
import type { RunState } from "../core/run.ts";
import type { Tenants } from "../core/tenants.ts";
import type { GroupReport } from "../recovery/replay.ts";
import { type Call, change, type Operation, read } from "./operations.ts";
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

/** One run that is to be called off, or to go on. */
export interface RunOrdered {
  readonly to: "cancel" | "resume";
  readonly eventId: string;
  readonly reason: string;
  /** Who orders it. */
  readonly who: string;
  /** Only says what it would do. */
  readonly dryRun: boolean;
  readonly repeatsInDoubt: boolean;
}

export interface RunChanged {
  readonly eventId: string;
  /** The state it was found in. */
  readonly was: string;
  /** `been …`: what was done, or would be. */
  readonly did: string;
  readonly dryRun: boolean;
}

/** A replay that was ordered here; it ends with this worker at the latest, and what is left lies where it was. */
export interface ReplayView extends GroupReport {
  readonly id: string;
  readonly orderedAt: string;
  /** Why it could not go on; empty where nothing kept it from that. */
  readonly trouble: string;
}

/** Where no source is named, all are looked at; a change is made in the one that has what is meant. Each throws `Problem`, and shows and does what is of these tenants alone: what is another's is not there. */
export interface EventDoors {
  runs(source: string | undefined, query: RunsQuery, tenants: Tenants): Promise<object>;
  /** Undefined when there is no record of it. */
  run(source: string | undefined, eventId: string, tenants: Tenants): Promise<object | undefined>;
  /** Undefined when nothing is known of it. */
  explain(source: string | undefined, eventId: string, tenants: Tenants): Promise<object | undefined>;
  changeRun(source: string | undefined, order: RunOrdered, tenants: Tenants): Promise<RunChanged>;
  deadLetters(source: string | undefined, tenants: Tenants): Promise<readonly object[]>;
  /** Answers once the letters are found and the first is about to be sent. */
  replay(source: string | undefined, order: ReplayOrdered, tenants: Tenants): Promise<ReplayView>;
  replays(tenants: Tenants): readonly ReplayView[];
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
      read(async ({ query, caller: { tenants } }) => {
        const states = query["state"] === undefined ? [] : [query["state"] as RunState];
        return { body: await doors.runs(query["source"], { states, skill: query["skill"], limit: Number(query["limit"] ?? runsDefault) }, tenants) };
      }),
    ],
    [
      "getRun",
      read(async ({ params: { eventId = "" }, query, caller: { tenants } }) => ({ body: found(await doors.run(query["source"], eventId, tenants), eventId) })),
    ],
    [
      "explainRun",
      read(async ({ params: { eventId = "" }, query, caller: { tenants } }) => ({
        body: found(await doors.explain(query["source"], eventId, tenants), eventId),
      })),
    ],
    ["cancelRun", changeOfRun(doors, "cancel")],
    ["resumeRun", changeOfRun(doors, "resume")],
    ["listDeadLetters", read(async ({ query, caller }) => ({ body: await doors.deadLetters(query["source"], caller.tenants) }))],
    ["listReplays", read(({ caller }) => ({ body: doors.replays(caller.tenants) }))],
    [
      "getReplay",
      read(({ params: { id = "" }, caller }) => {
        const replay = doors.replays(caller.tenants).find((one) => one.id === id);
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
        const replay = await doors.replay(query["source"], order, caller.tenants);
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

function changeOfRun(doors: EventDoors, to: RunOrdered["to"]): Operation {
  const isDry = ({ body }: Call): boolean => body["dryRun"] === true;
  return change(async ({ params: { eventId = "" }, body, query, caller: { who, tenants } }) => {
    const dryRun = body["dryRun"] === true;
    const order = { to, eventId, reason: String(body["reason"]), who: who.slice(0, whoCharactersMax), dryRun, repeatsInDoubt: body["repeatInDoubt"] === true };
    const changed = await doors.changeRun(query["source"], order, tenants);
    return { body: changed, target: eventId, before: { state: changed.was }, after: { did: changed.did, dryRun } };
  }, isDry);
}
