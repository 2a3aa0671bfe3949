import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { TransportError } from "#runtime/core/errors.ts";
import { type Process, World } from "../support/pipeline-world.ts";

const missing = new TransportError("expected the queue letters, found no entity of that name", { entityTrouble: "missing" });
const unreachable = new TransportError("expected the broker to answer, found none");
const wrongKind = new TransportError("expected a queue, found a topic", { isPermanent: true });

/** Lets the source's connection fail so many times before it can be made. */
function failing(process: Process, queue: string, times: number, error: Error): { tries: number } {
  const connection = process.connections.get(queue)!;
  const count = { tries: 0 };
  connection.start = async () => {
    count.tries += 1;
    if (count.tries <= times) throw error;
  };
  return count;
}

function told(process: Process): string[] {
  return process.telemetry.events.flatMap((event) => {
    if (event.type === "source.down") return [`${event.source} down: ${event.trouble}`];
    return event.type === "source.up" ? [`${event.source} up`] : [];
  });
}

function downMsOf(process: Process): number[] {
  return process.telemetry.events.flatMap((event) => (event.type === "source.up" ? [event.downMs] : []));
}

describe("a source that fails", () => {
  test("is told once, tried again with growing pauses, and leaves the others alone", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    let count = { tries: 0 };
    const process = await world.start({}, (prepared) => (count = failing(prepared, "letters", 5, missing)));
    world.send("a");
    world.sendTo("letters", "b");
    await world.clock.advance(2_000);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.deepEqual([count.tries, process.worker.view().sources.map(({ trouble }) => trouble)], [2, [undefined, "missing"]]);
    await world.clock.advance(20_000);
    assert.equal(count.tries, 5);
    await world.clock.advance(15_000);
    assert.equal(world.further.get("letters")?.broker.stored[0]?.state, "completed");
    assert.deepEqual(told(process), ["letters down: missing", "letters up"]);
  });

  test("is tried again every half minute at last", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    let count = { tries: 0 };
    await world.start({}, (prepared) => (count = failing(prepared, "letters", 100, unreachable)));
    const triesMs: number[] = [];
    for (let second = 1; second <= 190; second += 1) {
      const { tries } = count;
      await world.clock.advance(1_000);
      if (count.tries > tries) triesMs.push(second);
    }
    assert.deepEqual(
      triesMs.map((second, index) => second - (triesMs[index - 1] ?? 0)),
      [1, 2, 4, 8, 16, 30, 30, 30, 30, 30],
    );
  });

  test("is said to be unreachable while nothing more is known, what is wrong with it as soon as that is, and to serve after so long", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const disabled = new TransportError("expected the queue letters to be active, found it disabled", { entityTrouble: "disabled" });
    const errors = [unreachable, missing, missing];
    const process = await world.start({}, (prepared) => {
      const connection = prepared.connections.get("letters")!;
      connection.start = () => {
        const error = errors.shift();
        return error === undefined ? Promise.resolve() : Promise.reject(error);
      };
    });
    // It is tried after 1, 3 and 7 seconds.
    await world.clock.advance(10_000);
    assert.deepEqual(told(process), ["letters down: unreachable", "letters down: missing", "letters up"]);
    assert.deepEqual(downMsOf(process), [7_000]);

    // What a receiver is disturbed by counts where it is the entity's.
    const receiver = process.connections.get("letters")!.receivers.at(-1)!;
    receiver.disturb();
    receiver.disturb(disabled);
    receiver.disturb(disabled);
    assert.equal(process.worker.view().sources[1]?.trouble, "disabled");
    // What the one event says, the other does not say again.
    assert.equal(process.telemetry.types().filter((type) => type === "transport.disturbed").length, 1);
    await world.clock.advance(2_000);
    world.sendTo("letters", "b");
    await world.clock.advance(1_000);
    assert.deepEqual(told(process).slice(3), ["letters down: disabled", "letters up"]);
    assert.equal(process.worker.view().sources[1]?.trouble, undefined);
    const [, downMs = 0] = downMsOf(process);
    assert.ok(downMs >= 2_000 && downMs < 3_000, `${downMs}`);
  });

  test("ends the start when no time will mend what is wrong with it", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    await assert.rejects(
      world.start({}, (prepared) => failing(prepared, "letters", 1, wrongKind)),
      wrongKind,
    );
    const fault = new TypeError("expected a name, found undefined");
    await assert.rejects(
      world.start({}, (prepared) => failing(prepared, "letters", 1, fault)),
      fault,
    );
  });

  test("ends the start when there is no other", async () => {
    const world = new World();
    await assert.rejects(
      world.start({}, (prepared) => {
        prepared.connection.start = () => Promise.reject(missing);
      }),
      missing,
    );
  });

  test("is not tried again once the worker stops", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    let count = { tries: 0 };
    const process = await world.start({}, (prepared) => (count = failing(prepared, "letters", 100, missing)));
    await world.clock.finish("the worker to stop", process.worker.stop(1_000));
    await world.clock.advance(100_000);
    assert.equal(count.tries, 1);
  });

  for (const [how, end] of [
    ["connected", (answer: PromiseWithResolvers<void>): void => answer.resolve()],
    ["refused", (answer: PromiseWithResolvers<void>): void => answer.reject(unreachable)],
  ] as const)
    test(`is left alone when it is ${how} only after the worker has stopped`, async () => {
      const world = new World({ furtherQueues: ["letters"] });
      const answer = Promise.withResolvers<void>();
      let tries = 0;
      const process = await world.start({}, (prepared) => {
        prepared.connections.get("letters")!.start = () => {
          tries += 1;
          return tries === 1 ? Promise.reject(missing) : answer.promise;
        };
      });
      await world.clock.advance(1_500);
      await world.clock.finish("the worker to stop", process.worker.stop(1_000));
      end(answer);
      await world.clock.advance(100_000);
      assert.deepEqual([tries, told(process)], [2, ["letters down: missing"]]);
    });

  test("that is closed to receivers stays so though it can be looked at, and neither receiver nor connection is replaced for its sake", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const process = await world.start({ silenceMaxMs: 5_000 });
    const connection = process.connections.get("letters");
    const receiver = connection?.receivers.at(-1);
    assert.ok(receiver !== undefined);
    receiver.isMute = true;
    receiver.disturb(new TransportError("expected letters to be enabled, found that it takes no receivers", { entityTrouble: "disabled" }));
    world.sendTo("letters", "a");
    await world.clock.advance(60_000);
    assert.deepEqual([told(process), connection?.reconnections, connection?.receivers.length], [["letters down: disabled"], 0, 1]);
    assert.deepEqual(
      process.telemetry.types().filter((type) => type.endsWith(".rebuilt")),
      [],
    );
  });

  test("that was disabled is told to serve again as soon as the broker serves its receiver, though nothing comes", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const process = await world.start();
    const receiver = process.connections.get("letters")?.receivers.at(-1);
    receiver?.disturb(new TransportError("expected letters to be enabled, found that it is disabled", { entityTrouble: "disabled" }));
    await world.clock.advance(500);
    receiver?.reopen();
    assert.deepEqual(told(process), ["letters down: disabled", "letters up"]);
  });
});
