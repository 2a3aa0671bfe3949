import { strict as assert } from "node:assert";
import { Writable } from "node:stream";
import { test } from "node:test";
import { pino } from "pino";
import { EventLog } from "#runtime/adapters/telemetry/log.ts";

test("no event reaches the log with a secret in it, whoever wrote its text", () => {
  const lines: string[] = [];
  const log = new EventLog(pino({ level: "debug" }, new Writable({ write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()) })), {
    monotonicMs: () => 0,
  });
  const text = "connect amqp://user:p@ss@host failed, SharedAccessKey=abc+/=";
  log.emit({ type: "transport.disturbed", source: "orders", error: text });
  log.emit({
    type: "run.dead-lettered",
    eventId: "e",
    messageId: "m",
    skill: "s",
    attempt: 1,
    reason: "R",
    description: text,
    class: "permanent",
    code: "R",
    step: "",
    fingerprint: "f",
  });
  log.emit({ type: "thread.lost", why: text, replaced: true });
  assert.equal(lines.length, 3);
  for (const line of lines) assert.match(line, /amqp:\/\/user:\[redacted\]@host failed, SharedAccessKey=\[redacted\]/);
});
