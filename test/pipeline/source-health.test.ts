import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { TransportError } from "#runtime/core/errors.ts";
import { type Process, World } from "../support/pipeline-world.ts";

const missing = new TransportError("expected the queue letters, found no entity of that name", { entityTrouble: "missing" });
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

  test("ends the start when no time will mend what is wrong with it", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    await assert.rejects(
      world.start({}, (prepared) => failing(prepared, "letters", 1, wrongKind)),
      wrongKind,
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
});
