// README's list of dead letters is complete: every reason and every permanent code that the code can give has its row.
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { codeIn, readDocument, root, sectionOf, tableOf } from "../support/markdown.ts";

const deadLetters = sectionOf(readDocument("README.md"), "### Dead letters");
const reasonsTold = tableOf(deadLetters, "reason");
const codesTold = tableOf(deadLetters, "code").flatMap(([name = "", fate = ""]) => codeIn(name).map((code) => ({ code, fate })));

function textsOf(pattern: string): string {
  return globSync(pattern, { cwd: root })
    .map((file) => readFileSync(join(root, file), "utf8"))
    .join("\n");
}

/** What `patterns` capture in a text, and each string in it, once each. */
function captured(text: string, patterns: readonly RegExp[]): string[] {
  const found = patterns.flatMap((pattern) => [...text.matchAll(pattern)].flatMap((match) => match[1]?.match(/\w+/g) ?? []));
  return [...new Set(found)].sort();
}

const pipeline = textsOf("runtime/{core,policy,pipeline}/*.ts");

test("every reason that the worker gives has its row, and every row is a reason that is given", () => {
  const given = captured(pipeline, [
    /type InvalidReason =([^;]*);/g,
    /kind: "parked"; readonly reason: ([^;}]*)[;}]/g,
    /\breason: "([A-Z]\w+)"/g,
    /unpublished\("(\w+)"/g,
    /(?:expired|cancelled)Reason = "(\w+)"/g,
  ]);
  assert.ok(given.length > 10, `found only ${given.join(", ")}`);
  const byBroker = captured(textsOf("load/broker/entities/*.ts"), [/deadLetter\(message, "(\w+)"/g]);
  const told = reasonsTold.flatMap(([name = ""]) => codeIn(name));
  assert.deepEqual(
    [...told].sort(),
    [...new Set([...given, ...byBroker])].sort(),
    "expected README.md's table of dead-letter reasons to match the code; add a row with the remedy, or take one away",
  );
});

test("a reason that is new is given in a way that the test above knows", () => {
  // Where a reason is not written out it is one of these: the union of refusals, a permanent error's code, or what the record says.
  const known = [
    "outcome.invalid.reason",
    "outcome.failure.code",
    "outcome.reason",
    "invalid.reason",
    "result.reason",
    "expiredReason",
    "settlement.reason",
    "reason",
    'reason || "CompensationFailed"',
  ];
  const given = [...pipeline.matchAll(/kind: "dead-letter",[^}]*?\breason(?:: ([^,}]+))?[,}]/g)].map((match) => (match[1] ?? "reason").trim());
  assert.ok(given.length > 5);
  assert.deepEqual(
    given.filter((expression) => !/^"\w+"$/.test(expression) && !known.includes(expression) && expression !== "string"),
    [],
  );
});

test("every row says what happened, what to do, and how to send the message again", () => {
  for (const [name, happened = "", remedy = "", again = ""] of reasonsTold) {
    assert.ok(happened.length > 10 && remedy.length > 10, `expected the row of ${name} to say what happened and what to do`);
    assert.match(again, /^(?:as it is|new id|no)\b/, `the row of ${name}`);
  }
});

test("every code that the runtime gives a failure has its row, and the row says whether it is retried", () => {
  const skills = textsOf("runtime/{skills,contracts,postgres}/**/*.ts");
  const given = captured(`${skills}\n${textsOf("runtime/{pipeline,policy,adapters/threads}/*.ts")}\n${textsOf("runtime/core/{limits,outcome}.ts")}`, [
    /\bcode: (?:[^"\n]* : )?"([A-Z_]+)"/g,
    /permanently\("([A-Z_]+)"/g,
    /super\("([A-Z_]+)"/g,
    /(?:circuitOpen|bulkheadFull|rateLimited)Code = "([A-Z_]+)"/g,
    /return (?:[^;\n]* [:?] )?"([A-Z_]+)";/g,
  ]);
  assert.ok(given.length > 15, `found only ${given.join(", ")}`);
  const fixed = codesTold.filter(({ code }) => !/^HTTP_\d/.test(code));
  assert.deepEqual(fixed.map(({ code }) => code).sort(), given, "expected README.md's table of codes to match the code; add a row, or take one away");
  const permanent = captured(skills, [
    /new PermanentError\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*?\bcode: "([A-Z_]+)"/g,
    /permanently\("([A-Z_]+)"/g,
    /super\("(PERMANENT)"/g,
  ]);
  assert.ok(permanent.length > 7, `found only ${permanent.join(", ")}`);
  const saidPermanent = fixed.filter(({ fate }) => fate === "permanent").map(({ code }) => code);
  assert.deepEqual(saidPermanent.filter((code) => code !== "SKILL_UNKNOWN").sort(), permanent);
});
