import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type FailureClass, failureClassOf, failureClasses, failureRowOf, failureTable, isPermanentCode } from "#runtime/core/failure-class.ts";
import { classifyFailure } from "#runtime/policy/classify.ts";
import { PermanentError, TransientError } from "#runtime/skills/author/errors.ts";
import { asCallError, describeFailure, isDefinite } from "#runtime/skills/host/failure.ts";
import { retryAfterOf } from "#runtime/skills/host/retry-after.ts";

/** What a skill throws, and what becomes of it. */
function classThrown(thrown: unknown): FailureClass {
  const { record, retryable } = describeFailure(thrown, undefined, undefined);
  return classifyFailure(record, retryable).class;
}

const error = (fields: object, message = "failed"): Error => Object.assign(new Error(message), fields);

const thrown: readonly (readonly [name: string, value: unknown, expected: FailureClass])[] = [
  ["a status 429", error({ status: 429 }), "throttled"],
  ["a statusCode 503, as Azure's clients have it", error({ statusCode: 503 }), "unavailable"],
  ["a status 404", error({ status: 404 }), "permanent"],
  ["a status 500", error({ status: 500 }), "transient"],
  ["a status 504", error({ status: 504 }), "outcome-unknown"],
  ["a status that is none", error({ status: 42 }), "transient"],
  ["undici's headers time-out", error({ code: "UND_ERR_HEADERS_TIMEOUT" }), "outcome-unknown"],
  ["undici's connect time-out", error({ code: "UND_ERR_CONNECT_TIMEOUT" }), "unavailable"],
  ["a garbled answer", error({ code: "HPE_INVALID_CONSTANT" }), "outcome-unknown"],
  ["a refused connection", error({ code: "ECONNREFUSED" }), "unavailable"],
  ["a reset connection", error({ code: "ECONNRESET" }), "outcome-unknown"],
  ["a call that was aborted", new DOMException("aborted", "AbortError"), "cancelled"],
  ["a signal that timed out", new DOMException("late", "TimeoutError"), "outcome-unknown"],
  ["Service Bus that is busy", error({ code: "ServiceBusy" }), "throttled"],
  ["an entity that is not there", error({ code: "MessagingEntityNotFound" }), "permanent"],
  ["an AMQP condition", error({ code: "com.microsoft:server-busy" }), "throttled"],
  ["a Redis that loads", error({ name: "ReplyError" }, "LOADING Redis is loading the dataset in memory"), "unavailable"],
  ["a Redis without the right", error({ name: "ReplyError" }, "NOPERM this user has no permissions"), "permanent"],
  ["a Redis answer of no kind", error({ name: "ReplyError" }, "something else"), "transient"],
  ["a PermanentError", new PermanentError("no"), "permanent"],
  ["a PermanentError with the code of a passing trouble", new PermanentError("no", { code: "HTTP_503" }), "permanent"],
  ["a TransientError", new TransientError("later"), "transient"],
  ["a TransientError that says it was throttled", new TransientError("later", { code: "HTTP_429" }), "throttled"],
  ["a TransientError with the code of a lasting trouble", new TransientError("later", { code: "HTTP_404" }), "transient"],
  ["a TypeError", new TypeError("x is not a function"), "transient"],
  ["something that is no error", 7, "transient"],
  ["a name that every object has", error({ code: "constructor" }), "transient"],
];

describe("failure classes", () => {
  for (const [name, value, expected] of thrown) test(`${name} is ${expected}`, () => assert.equal(classThrown(value), expected));

  test("no code stands in two rows, and each row has a class that is known", () => {
    const codes = failureTable.flatMap((row) => row.codes);
    assert.deepEqual(codes.toSorted(), [...new Set(codes)].toSorted());
    for (const row of failureTable) assert.ok(failureClasses.includes(row.class) && row.meaning.length > 5 && !row.codes.includes(""), row.meaning);
    assert.deepEqual([...new Set(failureTable.map((row) => row.class))].toSorted(), failureClasses.toSorted());
  });

  test("an exact code comes before a beginning, and an unknown one has no row", () => {
    assert.deepEqual(
      ["HTTP_429", "HTTP_418", "HTTP_599", "HTTP_302", "HTTP", "toString"].map((code) => failureRowOf(code)?.class),
      ["throttled", "permanent", "transient", "permanent", undefined, undefined],
    );
    assert.deepEqual([isPermanentCode("amqp:not-found"), isPermanentCode("QuotaExceeded"), isPermanentCode("nobody")], [true, false, false]);
  });

  test("what the thrower says of trying again stands above the table", () => {
    const codes = [...failureTable.flatMap((row) => row.codes), "ANY"];
    fc.assert(
      fc.property(fc.constantFrom(...codes), (code) => {
        const isFinal = (found: FailureClass): boolean => found === "permanent" || found === "poison";
        assert.equal(isFinal(failureClassOf(code, true)), false);
        assert.equal(isFinal(failureClassOf(code, false)), true);
        assert.equal(failureClassOf(code, undefined), failureRowOf(code)?.class ?? "transient");
      }),
    );
  });

  test("a message's own fault stays poison however it was said", () => {
    assert.deepEqual([failureClassOf("InvalidPayload", false), failureClassOf("InvalidPayload", undefined)], ["poison", "poison"]);
    assert.equal(classifyFailure({ code: "InvalidPayload", message: "" }, undefined).kind, "permanent");
  });

  test("a call's failure is permanent or transient, definite or not, by the same table", () => {
    const found = [{ code: "UND_ERR_INVALID_ARG" }, { code: "ECONNREFUSED" }, { code: "ECONNRESET" }, { statusCode: 400 }, { code: "ANY" }].map((fields) => {
      const call = asCallError(error(fields), "api");
      return [call.code, call.retryable, isDefinite(call)];
    });
    assert.deepEqual(found, [
      ["UND_ERR_INVALID_ARG", false, true],
      ["ECONNREFUSED", true, true],
      ["ECONNRESET", true, false],
      ["HTTP_400", false, true],
      ["ANY", true, false],
    ]);
  });
});

describe("Retry-After", () => {
  const nowMs = Date.parse("2026-03-01T12:00:00Z");
  const cases: readonly (readonly [name: string, headers: Record<string, string>, ms: number | undefined])[] = [
    ["in seconds", { "retry-after": "7" }, 7_000],
    ["as a date, by our clock", { "retry-after": "Sun, 01 Mar 2026 12:01:30 GMT" }, 90_000],
    ["as a date, by the answer's own", { "retry-after": "Sun, 01 Mar 2026 13:00:10 GMT", date: "Sun, 01 Mar 2026 13:00:00 GMT" }, 10_000],
    ["as a date that is over", { "retry-after": "Sun, 01 Mar 2026 11:00:00 GMT" }, 0],
    ["in milliseconds, before seconds", { "retry-after-ms": "250", "retry-after": "1" }, 250],
    ["as Azure has it", { "x-ms-retry-after-ms": "40" }, 40],
    ["for longer than a day", { "retry-after": "999999999" }, 86_400_000],
    ["as text", { "retry-after": "soon" }, undefined],
    ["as a number below zero", { "retry-after": "-5" }, undefined],
    ["not at all", {}, undefined],
  ];
  for (const [name, headers, ms] of cases) test(name, () => assert.equal(retryAfterOf(headers, nowMs), ms));

  test("is a whole, bounded number or nothing, whatever the header holds", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (value, date) => {
        const ms = retryAfterOf({ "retry-after": value, date }, nowMs);
        assert.ok(ms === undefined || (Number.isInteger(ms) && ms >= 0 && ms <= 86_400_000), `${ms}`);
      }),
    );
  });
});
