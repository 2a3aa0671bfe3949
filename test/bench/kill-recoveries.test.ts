import { strict as assert } from "node:assert";
import { test } from "node:test";
import { originHeader, waitsForHeader } from "#runtime/core/copy.ts";
import type { InspectedMessage } from "#load/broker/inspection.ts";
import { Recoveries } from "../../bench/drills/kill/recoveries.ts";

type Told = Pick<InspectedMessage, "messageId" | "sequenceNumber" | "applicationProperties" | "lock">;

class Queue {
  messages: readonly Told[] = [];

  async *waiting(): AsyncGenerator<InspectedMessage> {
    for (const message of this.messages) yield message as InspectedMessage;
  }
}

const lock = { holder: "holdfast-7 at link", until: new Date().toISOString() };
const original: Told = { messageId: "m", sequenceNumber: 1, applicationProperties: {}, lock };

function copy(waitsFor: string): Told {
  return { messageId: "copy", sequenceNumber: 2, applicationProperties: { [originHeader]: "m", [waitsForHeader]: waitsFor }, lock: null };
}

async function recoveredAfter(after: Told): Promise<number> {
  const queue = new Queue();
  const recoveries = new Recoveries(queue);
  queue.messages = [original];
  await recoveries.killed("holdfast-7 at ");
  queue.messages = [after];
  await recoveries.look();
  return recoveries.messages.length;
}

test("a message that was put off as a copy before its run was tried again has not recovered", async () => {
  assert.equal(await recoveredAfter(original), 0);
  assert.equal(await recoveredAfter(copy("held")), 0);
  assert.equal(await recoveredAfter(copy("not-started")), 0);
});

test("a message whose run was tried again has recovered, though a copy of it is to be tried once more", async () => {
  assert.equal(await recoveredAfter(copy("TIMEOUT")), 1);
});

test("a message that two kills hit counts both, the second under its copy", async () => {
  const queue = new Queue();
  const recoveries = new Recoveries(queue);
  queue.messages = [original];
  await recoveries.killed("holdfast-7 at ");
  queue.messages = [{ ...copy("held"), lock: { ...lock, holder: "holdfast-8 at link" } }];
  await recoveries.killed("holdfast-8 at ");
  queue.messages = [];
  await recoveries.look();
  assert.deepEqual(
    recoveries.messages.map(({ kills }) => kills),
    [2],
  );
});
