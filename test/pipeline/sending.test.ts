import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { SendError, TransportError } from "#runtime/core/errors.ts";
import { sendAttemptsMax, Sending, sendPauseMaxMs, type Unsent } from "#runtime/pipeline/sending.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

const messages: readonly OutgoingMessage[] = ["a", "b", "c"].map((messageId) => ({ messageId, body: new Uint8Array(0), headers: {} }));

function fixture(send: (messages: readonly OutgoingMessage[], attempt: number) => void) {
  const clock = new SimClock();
  const attempts: (readonly [atMs: number, ids: string])[] = [];
  const publisher = {
    start: async () => undefined,
    stop: async () => undefined,
    send: async (_: string, batch: readonly OutgoingMessage[]) => {
      attempts.push([clock.monotonicMs(), batch.map((message) => message.messageId).join("")]);
      send(batch, attempts.length);
    },
  };
  return { clock, attempts, sending: new Sending(publisher, clock, () => undefined) };
}

const ids = (unsent: Unsent): string[] => [...unsent.keys()].map((message) => message.messageId);

describe("sending", () => {
  test("sends all messages at once", async () => {
    const { clock, attempts, sending } = fixture(() => undefined);
    assert.deepEqual(ids(await clock.finish("send", sending.send("x", messages))), []);
    assert.deepEqual(attempts, [[0, "abc"]]);
  });

  test("tries again with growing pauses, and leaves nothing unsent once it works", async () => {
    const { clock, attempts, sending } = fixture((_, attempt) => {
      if (attempt < 3) throw new TransportError("refused");
    });
    assert.deepEqual(ids(await clock.finish("send", sending.send("x", messages))), []);
    assert.deepEqual(attempts, [
      [0, "abc"],
      [100, "abc"],
      [300, "abc"],
    ]);
  });

  test("sends each message by itself in the last attempt, so that one that cannot be sent does not keep the others", async () => {
    const { clock, attempts, sending } = fixture((batch) => {
      if (batch.some((message) => message.messageId === "b")) throw new TransportError("too large");
    });
    assert.deepEqual(ids(await clock.finish("send", sending.send("x", messages))), ["b"]);
    assert.deepEqual(
      attempts.slice(sendAttemptsMax - 1).map(([, sent]) => sent),
      ["a", "b", "c"],
    );
  });

  test("waits as long as the broker asks, within a bound", async () => {
    const asked = [3_000, 1e9, 1];
    const { clock, attempts, sending } = fixture((_, attempt) => {
      throw new TransportError("busy", { retryAfterMs: asked[attempt - 1] ?? 0 });
    });
    await clock.finish("send", sending.send("x", messages.slice(0, 1)));
    assert.deepEqual(
      attempts.map(([atMs]) => atMs),
      [0, 3_000, 3_000 + sendPauseMaxMs, 3_001 + sendPauseMaxMs],
    );
  });

  test("does not wait any more once it is stopped", async () => {
    const { clock, attempts, sending } = fixture(() => {
      throw new TransportError("busy", { retryAfterMs: 10_000 });
    });
    const sent = sending.send("x", messages);
    await clock.settle();
    sending.stop();
    assert.deepEqual(ids(await clock.finish("send", sent, 1)), ["a", "b", "c"]);
    assert.equal(attempts.length, 2);
  });

  test("sends only what failed again, and believes what is said twice never to be sendable", async () => {
    const { clock, attempts, sending } = fixture((batch, attempt) => {
      const failed = new Map(
        batch.filter(({ messageId }) => messageId === "b").map((message) => [message, new TransportError("too large", { isPermanent: true })]),
      );
      const late = batch.find(({ messageId }) => messageId === "c");
      if (late !== undefined && attempt < 3) failed.set(late, new TransportError("busy"));
      if (failed.size > 0) throw new SendError(failed);
    });
    const unsent = await clock.finish("send", sending.send("x", messages));
    assert.deepEqual(attempts, [
      [0, "abc"],
      [100, "bc"],
      [300, "c"],
    ]);
    assert.deepEqual(
      Array.from(unsent, ([{ messageId }, { isPermanent, message }]) => [messageId, isPermanent, message]),
      [["b", true, "too large"]],
    );
  });

  test("a refusal that was once said to be for good and then was not is no last word", async () => {
    const { clock, sending } = fixture((batch, attempt) => {
      if (attempt < 4) throw new SendError(new Map(batch.map((message) => [message, new TransportError("no right", { isPermanent: attempt % 2 === 1 })])));
    });
    assert.deepEqual(ids(await clock.finish("send", sending.send("x", messages))), []);
  });

  test("what a publisher throws for a single message, and is no refusal, is a defect that this message brings out", async () => {
    const { clock, sending } = fixture((batch) => {
      if (batch.some(({ messageId }) => messageId === "a")) throw new TypeError("odd");
    });
    const unsent = await clock.finish("send", sending.send("x", messages));
    assert.deepEqual(
      Array.from(unsent, ([{ messageId }, { isPermanent, message }]) => [messageId, isPermanent, message]),
      [["a", true, "odd"]],
    );
  });
});
