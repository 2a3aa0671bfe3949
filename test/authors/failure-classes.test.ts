// `everyWay` has each call fail once by each class of failures, and each failure is of the class that it stands for.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { failureClasses, failureClassOf } from "#runtime/core/failure-class.ts";
import { defineDependency, defineSkill } from "#runtime/index.ts";
import { stub, testSkill } from "#runtime/testing/index.ts";
import { callFailuresOf } from "#runtime/testing/ways.ts";
import { runSkillCase } from "#runtime/testing/skill-case.ts";

const bank = defineDependency({ name: "bank", retry: { attemptsMax: 1 }, request: async () => "paid" });
const shop = defineDependency({ name: "shop", baseUrl: "http://127.0.0.1:1", retry: { attemptsMax: 1 } });

for (const [dependency, isHttp] of [
  [bank, false],
  [shop, true],
] as const) {
  const skill = defineSkill({
    name: "payer",
    handles: [{ eventType: "BillDue" }],
    uses: [dependency],
    run: async (context) => void (await context.step("pay", (step) => step.call(dependency as never, { method: "POST", path: "/" } as never))),
  });
  const stubs = [isHttp ? stub(shop, { status: 200 }) : stub(bank, "paid")];

  test(`a call ${isHttp ? "over HTTP" : "by a request function"} fails by each class, as that class`, async () => {
    const possible = callFailuresOf(isHttp);
    assert.deepEqual([...new Set(possible.map((one) => one.class))].toSorted(), failureClasses.filter((one) => one !== "poison").toSorted());
    for (const { what, class: expected, fault } of possible) {
      const provided = { settings: new Map(), resources: new Map() };
      const { retries, reason } = await runSkillCase({ skill, event: {}, stubs, provided, fault: { number: 1, fault: fault() } });
      assert.equal(failureClassOf(retries[0]?.code ?? reason, expected !== "permanent"), expected, what);
    }
    const { rows } = await testSkill.everyWay(skill, { dependencies: stubs });
    assert.deepEqual(
      possible.filter(({ what }) => !rows.some(({ kind, cases, failed }) => kind === `call ${what}` && cases > 0 && failed === 0)),
      [],
    );
  });
}
