// How far a worker reads past a skill that holds all that it can begin: as far as runs of others that begin at once make up for.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Room, type RoomOptions } from "#runtime/pipeline/room.ts";
import type { Source } from "#runtime/pipeline/source.ts";
import type { Work } from "#runtime/pipeline/work.ts";
import { ReadAhead } from "#runtime/policy/read-ahead.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";
import { skillPolicy } from "../support/pipeline-world.ts";

const quick = skillPolicy("quick");
const slow = skillPolicy("slow");
const source = { skills: { policies: [quick, slow] }, transport: { releaseIsFree: true } } as unknown as Source;

/** The slow skill holds all that it can begin, the quick one has room; every message may be of either. */
function makeRoom({ isGrowing = false, isStalled = (): boolean => false, endGapMs = Number.POSITIVE_INFINITY } = {}): Room {
  const intake = {
    room: (_source: Source, skill: typeof quick) => (skill === quick ? 1_000 : 0),
    messagesFor: (_source: Source, _skill: typeof quick, room: number) => room,
    isStalled,
    isGrowing: () => isGrowing,
    endGapMs: () => endGapMs,
    bytesRoom: () => 1_000,
  };
  const admission = { room: () => 1_000 };
  const options = { clock: new SimClock(), admission, readAhead: new ReadAhead(), inFlight: { undecidedOf: () => 0 }, intake, suspects: { room: () => 1_000 } };
  const room = new Room(options as unknown as RoomOptions);
  room.of(source, 0);
  return room;
}

const workOf = (isFull: boolean, waiting: number, serviceMs: number, skill?: typeof quick): Work =>
  ({ skill, intake: { window: { isFull }, slots: { waiting, serviceMs } } }) as unknown as Work;

test("a run that begins at once earns reading on, of a quick skill also while it holds all that its window allows", () => {
  for (const [work, more] of [
    [workOf(false, 0, 2_000), 4],
    [workOf(true, 0, 1), 4],
    [workOf(true, 0, 20), 4],
    [workOf(true, 0, 21), 0],
    [workOf(true, 1, 1), 0],
    // How long its runs take is not known yet.
    [workOf(true, 0, 0), 0],
  ] as const) {
    const room = makeRoom();
    assert.equal(room.of(source, 0), 0);
    room.found(work);
    assert.equal(room.of(source, 0), more);
  }
});

test("a run of a skill that is read past was not found behind others, whether its window has room by now or not", () => {
  const room = makeRoom();
  room.found(workOf(false, 0, 2_000, slow));
  assert.equal(room.of(source, 0), 0);
  room.found(workOf(false, 0, 2_000, quick));
  assert.equal(room.of(source, 0), 4);
});

test("what is held beyond a window uses up what may be read past where its runs take long: else one worker holds all that ends within half a second", () => {
  for (const [held, serviceMs, left] of [
    [11, 2_000, 3],
    [11, 21, 3],
    // Its skill has room for it, or will have soon.
    [10, 2_000, 4],
    [11, 20, 4],
    [11, 0, 4],
  ] as const) {
    const room = makeRoom();
    room.found(workOf(false, 0, 2_000));
    room.took({ intake: { window: { held, size: 10 }, slots: { serviceMs } } } as unknown as Work);
    assert.equal(room.of(source, 0), left);
  }
});

test("how much reading on can be saved is what ends within ten milliseconds, from 100 to 400", () => {
  for (const [endGapMs, most] of [
    [Number.POSITIVE_INFINITY, 100],
    [0.2, 100],
    [0.05, 200],
    [0.01, 400],
  ] as const) {
    const room = makeRoom({ endGapMs });
    for (let run = 0; run < 200; run += 1) room.found(workOf(false, 0, 2_000));
    assert.equal(room.of(source, 0), most);
  }
});

test("a skill of which all has begun is about to be given more room: nothing is read past it", () => {
  const room = makeRoom({ isGrowing: true });
  room.found(workOf(false, 0, 2_000));
  assert.equal(room.of(source, 0), 0);
});

test("beside a skill that does not move, as many are read as bring the other what it has room for, and of that one what may be read ahead", () => {
  const intake = {
    room: (_source: Source, skill: typeof quick) => (skill === quick ? 10 : 0),
    // One of four is of the quick skill, one of two of the slow one.
    messagesFor: (_source: Source, skill: typeof quick, room: number) => room * (skill === quick ? 4 : 2),
    isStalled: (_source: Source, skill: typeof quick) => skill === slow,
    isGrowing: () => false,
    bytesRoom: () => 1_000,
  };
  const admission = { room: () => 1_000 };
  const options = { clock: new SimClock(), admission, readAhead: new ReadAhead(), inFlight: { undecidedOf: () => 0 }, intake, suspects: { room: () => 1_000 } };
  const room = new Room(options as unknown as RoomOptions);
  assert.equal(room.of(source, 0), 40);
  // What was read far past it counts among what is read ahead.
  for (let message = 0; message < 290; message += 1) room.leftToOthers();
  assert.equal(room.of(source, 0), 20);
});

test("what was left to others while a skill did not move is not owed once it does", () => {
  let isStalled = true;
  const room = makeRoom({ isStalled: () => isStalled });
  for (let message = 0; message < 1_000; message += 1) room.leftToOthers();
  isStalled = false;
  assert.equal(room.of(source, 0), 0);
  room.found(workOf(false, 0, 2_000));
  assert.equal(room.of(source, 0), 4);
  room.leftToOthers();
  assert.equal(room.of(source, 0), 3);
});
