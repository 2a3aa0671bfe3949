import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { givenUp } from "#runtime/pipeline/refusals.ts";
import { World } from "../support/pipeline-world.ts";

describe("a message that can never run", () => {
  test("is dead-lettered at once when it is malformed, unknown, or of a version that nobody handles, and leaves no record", async () => {
    const world = new World();
    const { executor, calls } = await world.start();
    world.send(world.message("bad id"), world.message("b", "other"), world.message("c", "task", {}, { version: "2.0" }), "good");
    await world.clock.advance(1_000);
    assert.deepEqual(
      world.broker.stored.map((one) => one.reason ?? one.state),
      ["InvalidEnvelope", "UnknownEventType", "UnsupportedVersion", "completed"],
    );
    assert.equal(executor.posted.length, 1);
    assert.equal(calls[0], "dead-letter");
    assert.equal(await world.records.read("b"), undefined);
  });

  test("is dead-lettered with what would have been handled: the versions, or an event type of a similar name", async () => {
    const world = new World();
    const { telemetry } = await world.start();
    world.send(world.message("a", "tsak"), world.message("b", "elsewhere"), world.message("c", "task", {}, { version: "2.0" }));
    await world.clock.advance(1_000);
    assert.deepEqual(
      telemetry.events.flatMap((event) => (event.type === "run.dead-lettered" ? [event.description] : [])),
      [
        "expected an event type that a registered skill handles, found 'tsak'; did you mean 'task'?",
        "expected an event type that a registered skill handles, found 'elsewhere'; deploy a skill that handles it, or filter the type out where the event is sent",
        "expected a version of 'task' that a registered skill handles (1.x), found '2.0'; extend the skill's versions, or deploy one that handles it",
      ],
    );
  });

  test("is dead-lettered before it is looked at when it was delivered too often", async () => {
    const world = new World();
    const seen: string[] = [];
    const { telemetry } = await world.start({
      source: { deliveriesMax: 3 },
      readRoute: (delivery) => {
        seen.push(`${delivery.messageId} ${delivery.attempt}`);
        return readRoute(delivery, defaultDecodeLimits);
      },
    });
    world.send("a");
    const [stored] = world.broker.stored;
    assert.ok(stored !== undefined);
    stored.failedDeliveries = 3;
    await world.clock.advance(1_000);
    assert.deepEqual(seen, []);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: DeliveryLimit"]);
    // Whose message it was is known all the same.
    assert.deepEqual(
      telemetry.events.flatMap((event) => (event.type === "run.dead-lettered" ? [[event.eventId, event.messageId]] : [])),
      [["a", stored.message.messageId]],
    );
  });

  test("is dead-lettered when it crashes the reader, and the rest of its batch goes on", async () => {
    const world = new World();
    await world.start({
      readRoute: (delivery) => {
        if (delivery.header("eventId") === "bomb") throw new RangeError("Invalid array length");
        return readRoute(delivery, defaultDecodeLimits);
      },
    });
    world.send("a", "bomb", "c");
    await world.clock.advance(1_000);
    assert.deepEqual(
      world.broker.stored.map((one) => one.reason ?? one.state),
      ["completed", "InvalidEnvelope", "completed"],
    );
  });

  test("is told by its event's id, never by a message's: empty when it cannot be read", async () => {
    const world = new World();
    const { telemetry } = await world.start();
    const unread = { messageId: "message-x", body: Buffer.from("not JSON"), headers: {} };
    const inBody = {
      messageId: "message-y",
      body: Buffer.from('{"eventId":"b","eventType":"other","version":"1.0"}'),
      contentType: "application/json",
      headers: {},
    };
    world.send(unread, inBody);
    await world.clock.advance(1_000);
    const told = telemetry.events.flatMap((event) => (event.type === "run.dead-lettered" ? [[event.eventId, event.messageId, event.reason]] : []));
    assert.deepEqual(told, [
      ["", "message-x", "InvalidEnvelope"],
      ["b", "message-y", "UnknownEventType"],
    ]);
  });

  test("is dead-lettered again when its event was given up before, and says what to do", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = () => ({ kind: "failed", failure: { code: "REFUSED", message: "no" }, retryable: false });
    world.send("a");
    await world.clock.advance(1_000);
    // So soon that the clocks could not tell which of the two was first.
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: REFUSED", "dead-lettered: REFUSED"]);
    assert.equal(executor.posted.length, 1);
    const said = telemetry.events.flatMap((event) => (event.type === "run.dead-lettered" ? [event.description] : []));
    assert.match(
      said[1] ?? "",
      /^expected an event that was not given up, found that 'a' was given up before as REFUSED and that this message is not sent again since; .* or send it again$/,
    );
  });

  test("says why its event was called off, if it was", () => {
    assert.match(givenUp("a", "Cancelled", [{ kind: "cancelled", atMs: 1, reason: "ordered twice" }]), /found that 'a' was called off: ordered twice; /);
    assert.match(givenUp("a", "REFUSED", [{ kind: "cancelled", atMs: 1, reason: "ordered twice" }]), /given up before as REFUSED/);
  });

  test("runs like any other when it was resent by hand with the reason of its dead letter, and its event was never seen", async () => {
    const world = new World();
    const { executor } = await world.start();
    const resent = { DeadLetterReason: "UnknownEventType", DeadLetterErrorDescription: "expected an event type …", "Diagnostic-Id": "00-x" };
    world.send(world.message("a", "task", {}, resent));
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.equal(executor.posted.length, 1);
  });

  test("is dead-lettered without the secrets that what was said of it holds", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = () => ({ kind: "failed", failure: { code: "REFUSED", message: "amqp://user:p@ss@host refused; pwd=hunter2" }, retryable: false });
    world.send("a");
    await world.clock.advance(1_000);
    const said = telemetry.events.find((event) => event.type === "run.dead-lettered");
    assert.equal(said?.description, "amqp://user:[redacted]@host refused; pwd=[redacted] (skill 'task')");
  });

  test("is parked when the outbox of its finished run cannot be read", async () => {
    const world = new World();
    await world.records.start();
    const bytes = Uint8Array.of(0xc1, 0xff, 0xff);
    const { default: crypto } = await import("node:crypto");
    const payloadHash = crypto.hash("sha1", Buffer.from("{}"), "base64");
    await world.records.claim([{ eventId: "a", token: "t", payloadHash, pipelineHash: "task-1" }], 1_000);
    await world.records.finish([{ eventId: "a", epoch: 1, outbox: bytes }]);
    const { executor } = await world.start();
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: OutboxUnreadable"]);
    assert.equal(executor.posted.length, 0);
  });

  test("is dead-lettered when its run emitted an event that has nowhere to go, and publishes it when it is replayed", async () => {
    const world = new World();
    let entity: string | undefined;
    const { executor, telemetry } = await world.start({
      entityFor: () => {
        if (entity === undefined) throw new TypeError("expected an entity to send 'done' to, got none");
        return entity;
      },
    });
    executor.script = () => ({ kind: "completed", outbox: [{ messageId: "a:0", body: new Uint8Array(1), headers: { eventType: "done" } }] });
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: PublishUnconfigured"]);
    assert.deepEqual(telemetry.outcomes, ["dead-lettered"]);
    entity = "output";
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual([world.broker.published.length, executor.posted.length], [1, 1]);
  });
});
