import { strict as assert } from "node:assert";
import { mock, test } from "node:test";
import { answeredWithin, settledWithin } from "#runtime/adapters/support/settled-within.ts";

const never = (): Promise<string> => new Promise(() => {});

for (const within of [settledWithin, answeredWithin]) {
  test(`${within.name}: what resolves or rejects in time does so at once, and leaves no timer behind`, async () => {
    mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
    const stopped = [mock.method(globalThis, "clearTimeout"), mock.method(globalThis, "clearInterval")];
    try {
      assert.deepEqual(await within(Promise.resolve("value"), 100), { value: "value" });
      await assert.rejects(within(Promise.reject(new Error("no")), 100), { message: "no" });
      assert.equal(
        stopped.map(({ mock: calls }) => calls.callCount()).reduce((sum, calls) => sum + calls),
        2,
      );
    } finally {
      for (const { mock: method } of stopped) method.restore();
      mock.timers.reset();
    }
  });

  test(`${within.name}: what does not is over when its time is, not sooner, and may reject later`, async () => {
    mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
    try {
      const late = Promise.withResolvers<string>();
      let ended: unknown = "not yet";
      const over = within(late.promise, 100).then((answer) => (ended = answer));
      mock.timers.tick(99);
      await Promise.resolve().then(() => {});
      assert.equal(ended, "not yet");
      mock.timers.tick(1);
      await over;
      assert.equal(ended, undefined);
      late.reject(new Error("expected to be no unhandled rejection"));
      await new Promise(setImmediate);
    } finally {
      mock.timers.reset();
    }
  });
}

test("an answer that came while this process stood still is in time for a peer's answer", async () => {
  const answer = new Promise<string>((resolve) => void setImmediate(() => void setImmediate(resolve, "value")));
  const answered = answeredWithin(answer, 40);
  const missed = settledWithin(never(), 40);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
  assert.deepEqual([await answered, await missed], [{ value: "value" }, undefined]);
});
