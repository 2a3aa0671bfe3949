import { strict as assert } from "node:assert";
import { test } from "node:test";
import { testWorker } from "#runtime/testing/index.ts";
import plugin from "../support/embedded-plugin.ts";

test("a worker for tests tells by signal how events end, also afterwards, and what was given up", async (t) => {
  const bench = await testWorker({ plugins: [plugin], queues: ["answers"], config: { dependencies: { ledger: { baseUrl: "http://127.0.0.1:9" } } } });
  t.after(() => bench.stop());
  const waited = await bench.send("Waited", { payload: { any: "thing" } });
  const { outcome, skill } = await bench.settled(waited);
  assert.deepEqual([outcome, skill], ["completed", "wait"]);
  assert.equal(await bench.settled(waited), await bench.settled(waited));
  const refused = await bench.send("Refused", { eventId: "refused-1" });
  assert.equal((await bench.settled(refused)).outcome, "dead-lettered");
  assert.deepEqual(
    bench.deadLetters().map(({ eventId, eventType, reason }) => [eventId, eventType, reason]),
    [["refused-1", "Refused", "NOT_LIKE_THIS"]],
  );
  await assert.rejects(
    bench.settled("refused-2", 20),
    /expected event 'refused-2' to come to its end within 20 ms, it did not \(no event of this id was sent here; did you mean 'refused-1'/,
  );
  const asked = { replyTo: "answers", replyToSessionId: "of-mine", correlationId: "exchange-1", properties: { large: 2n ** 60n, at: new Date(0) } };
  await bench.settled(await bench.send("Asked", asked));
  const [answer] = bench.broker.inspectMessages("answers", { bodies: true })?.messages ?? [];
  const { payload, causationId } = JSON.parse(answer?.body?.value ?? "{}") as Record<string, unknown>;
  assert.deepEqual([answer?.eventType, answer?.sessionId, causationId], ["Asked.reply", "of-mine", answer?.applicationProperties["causationId"]]);
  assert.deepEqual(payload, { large: String(2n ** 60n), kinds: ["bigint", true], deliveryAttempt: 1, isKnown: true, names: 9 });
  assert.equal((await bench.settled(await bench.send("Asked"))).outcome, "dead-lettered");
  assert.equal(bench.deadLetters().at(-1)?.reason, "REPLY_UNADDRESSED");
  await bench.stop();
  await bench.stop();
});
