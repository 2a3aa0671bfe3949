// What a run that is given up leaves of its calls.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { PermanentError } from "#runtime/index.ts";
import { CallAnswers, unpackAnswers } from "#runtime/skills/host/call-answers.ts";

type Kept = readonly (readonly [dependency: string, place: string, came: unknown])[];

function kept(fill: (answers: CallAnswers) => void): Kept {
  const answers = new CallAnswers();
  fill(answers);
  const all = [...answers.pack()].flatMap(([dependency, bytes]) => unpackAnswers(dependency, bytes));
  return all.map(({ dependency, place, came }) => [dependency, place, "response" in came ? came.response : came.failure.message]);
}

test("a small answer is kept, a large one is not, and nothing that cannot be looked at", () => {
  const large = [
    { status: 200, headers: {}, body: "x".repeat(8_193) },
    { status: 200, headers: { "content-length": "8193" }, body: {} },
    Array.from({ length: 600 }, (_, at) => at),
    new Map([["body", "x".repeat(8_193)]]),
    new Set(["x".repeat(8_193)]),
    Object.defineProperty({}, "body", { enumerable: true, get: () => assert.fail("a getter") }),
  ];
  const fill = (answers: CallAnswers): void => {
    for (const [at, answer] of large.entries()) answers.add("bank", undefined, `-${at + 1}`, answer);
    answers.add("bank", undefined, "-7", { status: 200, headers: { "content-length": "17" }, body: { state: "taken" } });
  };
  assert.deepEqual(kept(fill), [["bank", "-7", { status: 200, headers: { "content-length": "17" }, body: { state: "taken" } }]]);
});

test("a large answer is not held, so that one small one more is", () => {
  const fill = (answers: CallAnswers): void => {
    answers.add("bank", undefined, "-1", "first");
    for (let number = 2; number <= 40; number += 1)
      answers.add("bank", undefined, `-${number}`, number % 2 === 0 ? "x".repeat(9_000) : new Map([[number, "x".repeat(9_000)]]));
    for (let number = 41; number <= 60; number += 1) answers.add("bank", undefined, `-${number}`, new Set(["x".repeat(9_000)]));
  };
  assert.deepEqual(kept(fill), [["bank", "-1", "first"]]);
});

test("headers of log-ins are gone, and fields with names of secrets are masked", () => {
  const headers = {
    "content-type": "application/json",
    "set-cookie": "sid=1",
    "www-authenticate": "Bearer",
    Authorization: "Basic x",
    "x-api-key": "k",
    etag: "e",
  };
  const body = { id: 7, accessToken: "t-1", lines: [{ password: "p-1", text: "kept" }] };
  const fill = (answers: CallAnswers): void => {
    answers.add("bank", undefined, "-1", { status: 200, headers, body });
    answers.add("bank", undefined, "-2", undefined, new PermanentError("refused: password=hunter2", { code: "NO" }));
  };
  assert.deepEqual(kept(fill), [
    [
      "bank",
      "-1",
      {
        status: 200,
        headers: { "content-type": "application/json", etag: "e" },
        body: { id: 7, accessToken: "[redacted]", lines: [{ password: "[redacted]", text: "kept" }] },
      },
    ],
    ["bank", "-2", "refused: password=[redacted]"],
  ]);
});
