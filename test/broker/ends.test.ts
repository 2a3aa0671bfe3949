// What the broker tells its operator of a connection that has ended.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { describeTrouble } from "#load/broker/amqp/server.ts";

test("each end that is not of every day is told with why it came", () => {
  assert.equal(
    describeTrouble({ by: "silence" }),
    "the connection ended by silence: nothing was heard of its client for 240 s; it was frozen, or the way to it is broken",
  );
  const error = { condition: "amqp:resource-limit-exceeded", description: "the connection was not opened in time" };
  assert.equal(
    describeTrouble({ by: "silence", error }),
    "the connection ended by silence: amqp:resource-limit-exceeded the connection was not opened in time",
  );
  assert.match(describeTrouble({ by: "fault", cause: new Error("odd") }) ?? "", /^the connection ended by fault: Error: odd\n/);
  assert.equal(describeTrouble({ by: "socket" }), undefined);
});
