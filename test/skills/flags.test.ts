// Feature flags: what a skill finds switched on, at this moment, in any thread.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { defineSkill } from "#runtime/index.ts";
import { Flags } from "#runtime/skills/host/flags.ts";
import { testSkill } from "#runtime/testing/index.ts";

test("a flag is seen at once by whoever shares its memory, and one that nobody has named is refused with the one that was meant", () => {
  const flags = Flags.of(
    new Map([
      ["new-prices", false],
      ["constructor", true],
    ]),
  );
  const there = new Flags(structuredClone(flags.shared));
  assert.deepEqual([there.isOn("new-prices"), there.isOn("constructor")], [false, true]);
  flags.set("new-prices", true);
  assert.deepEqual(there.all(), { "new-prices": true, constructor: true });
  assert.throws(() => flags.set("new-price", true), {
    name: "RangeError",
    message: /expected a flag .*\(new-prices, constructor\), found 'new-price'; did you mean 'new-prices'\?/,
  });
  assert.throws(() => there.isOn("toString"), { code: "FLAG_UNKNOWN" });
  assert.deepEqual(Flags.of(new Map()).all(), {});
});

const pricer = defineSkill({
  name: "pricer",
  handles: [{ eventType: "OrderPlaced" }],
  critical: true,
  steps: (begin) =>
    begin
      .step("price", { kind: "idempotent", compensate: (context) => context.log.info(`undone ${context.isOn("new-prices")}`) }, (context) =>
        context.isOn("new-prices") ? "new" : "old",
      )
      .step("tell", { kind: "idempotent" }, (context) =>
        context.emit("Priced", { by: context.isOn("new-prices") ? "new" : "old", isLoud: context.isOn("loud") }),
      ),
});

test("skills, steps and compensations ask for flags; in a test those that it names, and no others", async () => {
  const emitted = async (flags: Readonly<Record<string, boolean>>): Promise<unknown> =>
    (await testSkill(pricer, { flags })).emitted.map(({ payload }) => payload);
  assert.deepEqual(await emitted({ "new-prices": true, loud: false }), [{ by: "new", isLoud: false }]);
  assert.deepEqual(await emitted({ "new-prices": false, loud: true }), [{ by: "old", isLoud: true }]);
  const report = await testSkill(pricer, { flags: { "new-prices": true } });
  assert.match(JSON.stringify(report), /FLAG_UNKNOWN/);
});
