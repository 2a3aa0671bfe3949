// A worker on a queue that requires sessions, as a user runs it.
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { testOnEach } from "../support/transports.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (folder: string): string => `import { appendFileSync } from "node:fs";
import { definePlugin, defineSkill, PermanentError } from ${JSON.stringify(runtimeModule)};
const tried = defineSkill({ name: "tried", handles: [{ eventType: "Tried", versions: "1.x" }], async run({ event, session }) {
  const { seen = [] } = (await session.getState()) ?? {};
  appendFileSync(${JSON.stringify(join(folder, "marks"))}, [session.id, event.payload.index, seen.join("+")].join(" ") + "\\n");
  if (event.payload.index === 2) throw new PermanentError("not this one", { code: "REFUSED" });
  session.setState({ seen: [...seen, event.payload.index] });
} });
export default definePlugin({ skills: [tried] });
`;

testOnEach("works sessions in order, and hands each message the state that the one before has left", async (t, transport) => {
  const bench = await startWorkerBench(t, { entities: { queues: [{ name: "input", requiresSession: true }] }, skills: ["tried"], module });
  const sessions = ["a", "b", "c"];
  for (let index = 0; index < 4; index += 1) for (const id of sessions) await bench.send(`${id}${index}`, { index }, "Tried", undefined, id);
  await bench.startWorker({ transport, sources: [{ queue: "input", sessions: { concurrentMax: 2, onFailure: "skip" } }] });
  await eventually("all messages to end", () => bench.broker.inspect().queues["input"]?.totals.completed === 9, 20_000);
  const marks = join(bench.folder, "marks");
  const lines = existsSync(marks) ? readFileSync(marks, "utf8").trim().split("\n") : [];
  for (const id of sessions)
    assert.deepEqual(
      lines.filter((line) => line.startsWith(id)),
      [`${id} 0 `, `${id} 1 0`, `${id} 2 0+1`, `${id} 3 0+1`],
    );
  const dead = bench.broker.inspectMessages("input/$DeadLetterQueue", { top: 10 })?.messages ?? [];
  assert.deepEqual(
    dead.map(({ messageId, deadLetterReason }) => `${messageId} ${deadLetterReason}`).toSorted(),
    sessions.map((id) => `${id}2 REFUSED`),
  );
  assert.match(String(dead[0]?.deadLetterDescription), /\(session '[abc]'\)$/);
});
