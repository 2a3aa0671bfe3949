// A reconciliation that is killed, or does not hear an answer, at any of its calls, and is run again.
import { strict as assert } from "node:assert";
import { describe, test, type TestContext } from "node:test";
import type { RunRecords } from "#runtime/ports/run-records.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import { findDisagreements } from "#runtime/recovery/reconcile.ts";
import { type Ended, mendEach } from "#runtime/recovery/reconcile-mend.ts";
import { type Caller, type CrashPoint, IoPoints, type NumberedCall } from "#runtime/testing/world/io-points.ts";
import { numberedLetters, numberedPublisher, numberedStore } from "#runtime/testing/world/numbered-ports.ts";
import { isLong } from "../support/long.ts";
import { quietMs, ReconcileWorld } from "../support/reconcile-world.ts";
import { ProcessClock } from "#runtime/testing/world/sim-clock.ts";

/** They change nothing: the short form leaves them out. */
const looks = /^(peek|read|store secret|records scan|receive|release)/;
/** Runs that it may take until nothing is found any more. */
const runsMax = 4;

function numberedRecords(records: RunRecords, points: IoPoints, caller: Caller): RunRecords {
  const ask = <T>(name: string, act: () => Promise<T>): Promise<T> =>
    points.ask(caller, `records ${name}`, act, () => {
      throw new StoreUnavailableError("expected the store to answer, it did not");
    });
  return {
    start: () => records.start(),
    stop: () => records.stop(),
    scan: (cursor, states) => ask("scan", () => records.scan(cursor, states)),
    name: (kinds) => records.name(kinds),
    kinds: () => records.kinds(),
    cancel: (cancellation) => records.cancel(cancellation),
    state: (stated) => records.state(stated),
    remove: (eventId) => records.remove(eventId),
    note: (eventId, entry) => records.note(eventId, entry),
    giveUp: (givingUp) => ask("giveUp", () => records.giveUp(givingUp)),
    create: (creation) => ask("create", () => records.create(creation)),
  };
}

/** Undefined where it was killed, or could not look. */
async function reconcileOnce(world: ReconcileWorld, points: IoPoints): Promise<readonly Ended[] | undefined> {
  const process = new ProcessClock(world.clock);
  const killed = Promise.withResolvers<undefined>();
  const caller: Caller = {
    get isDead() {
      return process.isDead;
    },
    kill: () => {
      process.kill();
      ports.publisher.kill();
      killed.resolve(undefined);
    },
    loseThread: () => undefined,
  };
  const ports = world.connect(process);
  const scene = world.scene(process, {
    store: numberedStore(ports.store, points, caller),
    records: numberedRecords(ports.records, points, caller),
    publisher: numberedPublisher(ports.publisher, points, caller),
    queue: numberedLetters(ports.queue, points, caller),
    letters: numberedLetters(ports.letters, points, caller),
  });
  const work = async (): Promise<readonly Ended[]> => mendEach(scene, (await findDisagreements(scene)).disagreements);
  const ended = work().catch(() => undefined);
  return world.clock.finish("reconcile to end", Promise.race([ended, killed.promise]));
}

interface Outcome {
  readonly calls: readonly NumberedCall[];
  readonly standing: Awaited<ReturnType<ReconcileWorld["standing"]>>;
  /** Of each run, what it found. */
  readonly found: readonly (readonly string[])[];
}

async function reconcileUntilNothingIsFound(t: TestContext, crash: CrashPoint | undefined): Promise<Outcome> {
  const world = await ReconcileWorld.open(t);
  await world.disagree();
  const points = new IoPoints(world.clock, crash === undefined ? [] : [crash]);
  const found: (readonly string[])[] = [];
  for (let run = 0; run < runsMax; run += 1) {
    const ended = await reconcileOnce(world, points);
    points.isOver = true;
    found.push(ended?.map(({ disagreement: { kind, eventId }, result }) => `${kind} ${eventId} ${result}`) ?? ["killed"]);
    // Locks and leases are over, and what it wrote is old.
    await world.clock.advance(2 * quietMs);
    if (ended?.length === 0) break;
  }
  return { calls: points.calls, standing: await world.standing(), found };
}

describe("reconcile", () => {
  test("ends where it would have, wherever it is killed or an answer is lost, once it is run again", async (t) => {
    const whole = await reconcileUntilNothingIsFound(t, undefined);
    assert.deepEqual(whole.found[0]?.map((line) => line.split(" ")[0]).toSorted(), [
      "compensation-dead-letter",
      "compensation-without-message",
      "dead-letter-without-record",
      "done-dead-letter",
      "done-message",
      "given-up-without-dead-letter",
      "parked-without-dead-letter",
      "unfinished-dead-letter",
      "unfinished-without-message",
    ]);
    assert.deepEqual([whole.found[0]?.every((line) => line.endsWith(" mended")), whole.found[1]], [true, []], whole.found.flat().join("\n"));
    const broken: string[] = [];
    let cases = 0;
    for (const [index, { name, moments }] of whole.calls.entries()) {
      if (!isLong && looks.test(name)) continue;
      for (const moment of moments) {
        const { standing, found } = await reconcileUntilNothingIsFound(t, { number: index + 1, moment });
        cases += 1;
        try {
          assert.deepEqual([standing, found.at(-1)], [whole.standing, []]);
        } catch (error) {
          broken.push(`${moment} call ${index + 1}, ${name}: ${found.map((run) => run.join(", ")).join(" | ")}\n${String(error)}`);
        }
      }
    }
    assert.deepEqual(broken.slice(0, 3), [], `${broken.length} of ${cases}`);
    t.diagnostic(`${whole.calls.length} calls, ${cases} cases`);
    assert.ok(cases > (isLong ? 150 : 50), `found ${cases} cases`);
  });
});

test("so many messages are looked at in each place, not in all of them", async (t) => {
  const world = await ReconcileWorld.open(t);
  await world.disagree();
  const process = new ProcessClock(world.clock);
  const scene = world.scene(process, world.connect(process));
  const [box] = scene.letters.boxes;
  assert.ok(box);
  const { letters: whole } = await findDisagreements(scene);
  const { cutShort, letters } = await findDisagreements({ ...scene, letters: { ...scene.letters, boxes: [box, { ...box, name: "more" }] }, peekMax: whole });
  assert.deepEqual([whole, letters, cutShort], [4, 8, []]);
  assert.deepEqual((await findDisagreements({ ...scene, peekMax: whole - 1 })).cutShort, [box.name]);
});
