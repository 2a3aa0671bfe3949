import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { Setback } from "#runtime/core/setback.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import {
  acceptPauseMs,
  acceptsWanted,
  decideBlocking,
  goesOn,
  isDry,
  isIdle,
  isLately,
  isPassedOn,
  type Places,
  restLeftMs,
  restsMax,
  sessionsHeldMax,
  wouldGiveWay,
} from "#runtime/policy/session-turns.ts";

const policy = { concurrentMax: 4, idleMs: 1_000, turnMs: 10_000 };
const places: Places = { free: 4, room: 100, waiting: 0, someGiveWay: false, streak: 0 };
const retry = { ...defaultRetryPolicy, attemptsMax: 3, immediateMax: 0, baseDelayMs: 100, delayFactor: 2, delayMaxMs: 1_000, jitter: "none" as const };
const history = { attempts: 9, losses: 0, retriesInPlace: 0, postponements: 0, lockLost: false, stopping: false };
const failure = { code: "ENO", message: "no" };

function viewOf(kind: Setback["kind"], delayMs: number, writtenAgoMs: number, state: "waiting" | "running" = "waiting"): Parameters<typeof restLeftMs>[0] {
  const setback: Setback = { atMs: 0, kind, why: "", description: "", attempt: 1, delayMs, worker: "w", waitedMs: 0, waitedFor: "", renewals: 0, calls: [] };
  return { state, writtenAgoMs, setbacks: [setback] };
}

describe("turns of sessions", () => {
  test("last until they are over and others wait", () => {
    assert.deepEqual(
      [goesOn({ usedMs: 99_999 }, false, policy), goesOn({ usedMs: 9_999 }, true, policy), goesOn({ usedMs: 10_000 }, true, policy)],
      [true, true, false],
    );
  });

  test("end without a message after the idle time, and make room for another soon", () => {
    const tripMs = 5;
    assert.deepEqual(
      [999, 1_000].map((idleMs) => isIdle({ usedMs: 5_000, idleMs, tripMs }, policy)),
      [false, true],
    );
    assert.equal(isIdle({ usedMs: 5_000, idleMs: 0, tripMs: 0 }, { ...policy, idleMs: 0 }), false);
    assert.deepEqual(
      [
        [0, 49],
        [0, 50],
        [10_000, 0],
      ].map(([usedMs = 0, idleMs = 0]) => wouldGiveWay({ usedMs, idleMs, tripMs }, policy)),
      [false, true, true],
    );
  });

  test("do not end before a message can have come: the first in two seconds, the next in twice the time that the first took", () => {
    const shortest = { ...policy, idleMs: 0 };
    const ends = (idleMs: number, tripMs?: number): boolean[] => [isIdle({ usedMs: 0, idleMs, tripMs }, shortest), isDry({ usedMs: 0, idleMs, tripMs })];
    assert.deepEqual(
      [ends(1_999), ends(2_000)],
      [
        [false, false],
        [true, true],
      ],
    );
    assert.deepEqual(
      [ends(199, 100), ends(200, 100), ends(10, 5), ends(2_000, 60_000)],
      [
        [false, false],
        [true, true],
        [true, false],
        [true, true],
      ],
    );
  });

  test("that had to wait for a place too long pass to others, which are then taken to wait", () => {
    assert.deepEqual([1_999, 2_000].map(isPassedOn), [false, true]);
    assert.deepEqual([14_999, 15_000, Number.POSITIVE_INFINITY].map(isLately), [true, false, false]);
  });

  test("that are held or asked for at once are bounded: places, those that wait for their next try, and some that are asked for", () => {
    assert.deepEqual([restsMax({ concurrentMax: 16 }), restsMax({ concurrentMax: 1_000 })], [64, 1_000]);
    assert.deepEqual([sessionsHeldMax({ concurrentMax: 16 }), sessionsHeldMax({ concurrentMax: 1_000 })], [88, 2_008]);
  });

  test("are asked for one at a time, and more at once the more there are, within places and room", () => {
    assert.deepEqual(
      [0, 1, 2, 3, 9].map((streak) => acceptsWanted({ ...places, free: 100, streak })),
      [1, 2, 4, 8, 8],
    );
    assert.deepEqual(
      [acceptsWanted({ ...places, streak: 9 }), acceptsWanted({ ...places, streak: 9, room: 2 }), acceptsWanted({ ...places, room: -3 })],
      [4, 2, 0],
    );
  });

  test("are asked for with no place free only where one would give way, and never while one waits for a place", () => {
    const full = { ...places, free: 0, room: 0 };
    assert.deepEqual(
      [acceptsWanted(full), acceptsWanted({ ...full, someGiveWay: true }), acceptsWanted({ ...full, someGiveWay: true, waiting: 1 })],
      [0, 1, 0],
    );
  });

  test("are asked for after growing pauses when that leads to nothing", () => {
    assert.deepEqual(
      [0, 1, 2, 3, 99].map((inVain) => acceptPauseMs(inVain)),
      [0, 50, 100, 200, 5_000],
    );
    assert.equal(acceptPauseMs(99, 30_000), 30_000);
  });

  test("go on where another worker had a message wait, and only there", () => {
    assert.deepEqual([restLeftMs(viewOf("failed", 5_000, 2_000)), restLeftMs(viewOf("postponed", 5_000, 2_000))], [3_000, 3_000]);
    assert.deepEqual([restLeftMs(viewOf("postponed", 5_000, 6_000)), restLeftMs({ state: "waiting", writtenAgoMs: 0, setbacks: [] })], [0, 0]);
    assert.deepEqual([restLeftMs(undefined), restLeftMs(viewOf("returned", 5_000, 0)), restLeftMs(viewOf("failed", 5_000, 0, "running"))], [0, 0, 0]);
  });

  test("block on what may pass and on what is said never to, with bounded pauses, and not on what waiting cannot help", () => {
    const decided = (outcome: Parameters<typeof decideBlocking>[0]): unknown[] => {
      const settlement = decideBlocking(
        outcome,
        history,
        retry,
        () => false,
        () => 0,
      );
      return [settlement.kind, "delayMs" in settlement ? settlement.delayMs : undefined];
    };
    assert.deepEqual(decided({ kind: "transient", class: "transient", failure }), ["retry-later", 1_000]);
    assert.deepEqual(decided({ kind: "permanent", class: "permanent", failure }), ["retry-later", 1_000]);
    assert.deepEqual(decided({ kind: "parked", reason: "OutcomeUnknown", why: "in doubt" })[0], "dead-letter");
    assert.deepEqual(decided({ kind: "invalid", invalid: { reason: "InvalidPayload", description: "no" } })[0], "dead-letter");
  });
});
