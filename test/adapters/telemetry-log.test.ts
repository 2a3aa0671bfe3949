import { strict as assert } from "node:assert";
import { Writable } from "node:stream";
import { test } from "node:test";
import { type Logger, pino } from "pino";
import { auditLog, EventLog, writeSkillLog } from "#runtime/adapters/telemetry/log.ts";
import { traceIdOf } from "#runtime/core/trace-context.ts";
import type { AboutMessage } from "#runtime/ports/telemetry.ts";

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

function logOf(): { readonly log: EventLog; readonly logger: Logger; readonly lines: () => readonly Readonly<Record<string, unknown>>[] } {
  const lines: string[] = [];
  const logger = pino({ level: "debug" }, new Writable({ write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()) }));
  return {
    logger,
    log: new EventLog(logger, { monotonicMs: () => 0 }),
    lines: () => lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
  };
}

const [traceId, spanId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
const stale = { type: "run.stale", eventId: "e-1", skill: "s" } as const;

function messageWith(headers: Readonly<Record<string, string>>): AboutMessage {
  const delivery = { header: (name: string) => headers[name], body: new Uint8Array(0) } as unknown as AboutMessage["delivery"];
  return { eventId: "e-1", attempt: 1, consumer: "orders", delivery, route: undefined, headers: undefined, epoch: 0 };
}

test("a line that belongs to an event has the ids of its trace under OpenTelemetry's names, with the span where there is one", () => {
  const { log, logger, lines } = logOf();
  log.emit(stale, { ...messageWith({}), span: { traceId, spanId, isSampled: true } });
  log.emit(stale, messageWith({ traceId }));
  log.emit(stale, messageWith({ traceId: "trace-1" }));
  log.emit(stale, { eventId: "e-1", lineage: { traceId, correlationId: "", projectId: "", tenantId: "" }, ofPlatform: false });
  log.emit({ type: "store.up", downMs: 1 });
  log.settled("completed", "s", 1, { ...messageWith({ traceId }), waitedMs: 0 });
  const line = { skill: "s", eventId: "e-1", traceId: "trace-1", attempt: 1, message: "said", fields: undefined };
  writeSkillLog(logger, [
    { level: "info", ...line, span: { traceId, spanId, isSampled: false } },
    { level: "info", ...line, span: { traceId } },
  ]);
  assert.deepEqual(
    lines().map(({ trace_id: trace, span_id: span, trace_flags: flags }) => [trace, span, flags]),
    [
      [traceId, spanId, "01"],
      [traceId, undefined, undefined],
      [traceIdOf("trace-1"), undefined, undefined],
      [traceId, undefined, undefined],
      [undefined, undefined, undefined],
      [traceId, undefined, undefined],
      [traceId, spanId, undefined],
      [traceId, undefined, undefined],
    ],
  );
});

test("what warns says in a sentence what happened and what to do, by its state; the type stays, and what tells itself has that alone", () => {
  const { log, lines } = logOf();
  log.emit({ type: "store.forgot", what: "sentinel" });
  log.emit({ type: "store.suspect", state: "begin", scope: "all", lostAgoMs: 1, forMs: 2 });
  log.emit({ type: "store.suspect", state: "end", scope: "all", lostAgoMs: 1, forMs: 0 });
  log.emit({ type: "source.down", source: "orders", trouble: "missing", error: "no such queue" });
  log.emit({ type: "thread.lost", why: "it exited", replaced: false });
  log.emit({ type: "run.retrying", eventId: "e", skill: "s", attempt: 1, delayMs: 1, code: "C", description: "card refused" });
  log.emit({ type: "store.up", downMs: 1 });
  const expected: readonly (readonly [type: string, msg: RegExp])[] = [
    ["store.forgot", /^the run store has lost records: it was emptied, .*; events done before may run again, so find out which it was/],
    ["store.suspect", /^the store has lost records: until forMs is over, steps without a record .* parked as OutcomeUnknown/],
    ["store.suspect", /^care after the store's loss has ended/],
    ["source.down", /^this source cannot be read; it is tried again .*; mend what the error names$/],
    ["thread.lost", /^a skill thread ended, .*; there is none in its place yet; look in `why` for the code that ended it$/],
    ["run.retrying", /^run\.retrying$/],
    ["store.up", /^store\.up$/],
  ];
  lines().forEach(({ type, msg }, index) => {
    assert.equal(type, expected[index]?.[0]);
    assert.match(String(msg), expected[index]?.[1] ?? /^$/);
  });
  assert.equal(lines().length, expected.length);
});

test("a line says of an event what is on the list, and nothing that came along with it", () => {
  const { log, lines } = logOf();
  const more: object = { payload: { card: "4111" }, headers: { from: "somebody" } };
  log.emit({ ...stale, ...more });
  const [line = {}] = lines();
  assert.deepEqual([line["type"], line["eventId"], line["skill"], line["payload"], line["headers"]], ["run.stale", "e-1", "s", undefined, undefined]);
});

test("a change over the admin API is a line at every level, also the change that sets the level", () => {
  const { logger, lines } = logOf();
  const audit = auditLog(logger);
  logger.level = "silent";
  audit({ operation: "changeLogLevel", who: "ada", result: "done" });
  logger.level = "error";
  audit({ operation: "pause", who: "ada", result: "done" });
  logger.info("something else");
  assert.deepEqual(
    lines().map(({ type, operation, who }) => [type, operation, who]),
    [
      ["admin.audit", "changeLogLevel", "ada"],
      ["admin.audit", "pause", "ada"],
    ],
  );
});
