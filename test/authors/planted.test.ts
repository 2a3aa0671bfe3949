// Mistakes that skill authors make, planted: every way of running the skill finds each, and names the line.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type HttpDependency, type Skill, type SkillContext, defineDependency, defineSkill } from "#runtime/index.ts";
import { EveryWayError, stub, testSkill } from "#runtime/testing/index.ts";

const bank: HttpDependency = defineDependency({ name: "bank" });
const mail: HttpDependency = defineDependency({ name: "mail" });
const stubs = [stub(bank, { status: 201, body: { id: "charge-1" } }), stub(mail, { status: 202 })];
const handles = [{ eventType: "OrderPlaced" }];

const skillOf = (run: (context: SkillContext) => Promise<void>): Skill => defineSkill({ name: "order", handles, uses: [bank, mail], run });

/** The line of this file that holds `mark`. */
function lineOf(mark: string): number {
  const lines = readFileSync(import.meta.filename, "utf8").split("\n");
  return lines.findIndex((line) => line.endsWith(`// ${mark}`)) + 1;
}

async function found(skill: Skill): Promise<EveryWayError> {
  const error: unknown = await testSkill.everyWay(skill, { dependencies: stubs }).then(
    () => new Error("expected a way that differs, all are the same"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof EveryWayError)) throw error;
  return error;
}

function assertNames(error: EveryWayError, mark: string, what: RegExp): void {
  assert.ok(error.message.includes(`${import.meta.filename}:${lineOf(mark)}:`), `expected the line of ${mark}, ${lineOf(mark)}, in:\n${error.message}`);
  assert.match(error.message, what);
  assert.match(error.message, /ways +cases +differ\n/);
  assert.match(error.message, /repeat it with everyWay\(…, \{ only: "/);
}

test("a skill whose effects are in steps ends the same in every way", async () => {
  const skill = skillOf(async (context) => {
    const charge = await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { amount: 12 } }));
    await context.step("tell", (step) => step.call(mail, { method: "POST", path: "/mails", body: charge.body }));
    context.emit("OrderCharged", charge.body);
  });
  const { undisturbed, cases, rows } = await testSkill.everyWay(skill, { dependencies: stubs });
  assert.equal(undisturbed.outcome, "completed");
  assert.deepEqual(
    undisturbed.steps.map(({ name }) => name),
    ["charge", "tell"],
  );
  assert.ok(cases > 50, `found ${cases} cases`);
  assert.ok(rows.every(({ failed }) => failed === 0));
});

test("an effect outside of a step is found", async () => {
  const skill = skillOf(async (context) => {
    await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { amount: 12 } }));
    await context.call(mail, { method: "POST", path: "/mails" }); // outside
    await context.step("confirm", (step) => step.call(bank, { method: "POST", path: "/confirmations" }));
  });
  assertNames(
    await found(skill),
    "outside",
    /the call of 'mail' outside of steps at .* is made again each time the run is resumed; put it into a context\.step/,
  );
});

test("a step whose name varies is found", async () => {
  const skill = skillOf(async (context) => {
    const name = `charge-${context.attempt}`;
    await context.step(name, async (step) => {
      await step.call(bank, { method: "POST", path: "/charges" }); // varying name
    });
  });
  assertNames(
    await found(skill),
    "varying name",
    /has an idempotency key that it does not have without trouble, so that its effect happens twice; name the step the same/,
  );
});

test("a call that goes out without its key after a crash is found", async () => {
  const keys = new Map<string, string>();
  const skill = skillOf(async (context) => {
    await context.step("charge", (step) => {
      // A key of its own, remembered in the process alone.
      const key = context.attempt === 1 ? "order-1" : randomUUID();
      keys.set(key, key);
      return step.call(bank, { method: "POST", path: "/charges", body: { key } }); // own key
    });
  });
  assertNames(await found(skill), "own key", /asks under the same idempotency key for something else than before/);
});
