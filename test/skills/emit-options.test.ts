// What a skill may say of an event that it emits, and what is refused.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type EmitOptions, defineSkill } from "#runtime/index.ts";
import { type SkillOutcome, testSkill } from "#runtime/testing/index.ts";

const emitting = (options: EmitOptions): Promise<SkillOutcome> =>
  testSkill(defineSkill({ name: "teller", handles: [{ eventType: "Asked" }], run: (context) => context.emit("Told", { n: 1 }, options) }));

const startsAtMs = Date.UTC(2030, 0, 1);

test("an event goes where, when and with what its skill says", async () => {
  const properties = { tier: "gold", count: 3, big: 2n ** 40n, isNew: true, since: new Date(5), none: null };
  const { emitted } = await emitting({ entity: "billing", sessionId: "customer-7", delayMs: 60_000, timeToLiveMs: 5_000, properties });
  const [told] = emitted;
  assert.deepEqual([told?.entity, told?.sessionId, told?.timeToLiveMs], ["billing", "customer-7", 5_000]);
  const delayMs = (told?.scheduledAtMs ?? 0) - startsAtMs;
  assert.ok(delayMs >= 60_000 && delayMs < 61_000, `scheduled after ${delayMs} ms`);
  for (const [name, value] of Object.entries(properties)) assert.deepEqual(told?.properties[name], value, name);
  assert.equal(told?.properties["eventType"], "Told");
});

test("a time that is given stands, one that has passed is now", async () => {
  const at = new Date(startsAtMs + 3_600_000);
  assert.equal((await emitting({ at })).emitted[0]?.scheduledAtMs, at.getTime());
  assert.equal((await emitting({ at: new Date(0) })).emitted[0]?.scheduledAtMs, undefined);
  assert.equal((await emitting({ delayMs: 0 })).emitted[0]?.scheduledAtMs, undefined);
});

test("what is said is kept over a crash between the step that emits and the end of the run", async () => {
  const skill = defineSkill({
    name: "teller",
    handles: [{ eventType: "Asked" }],
    async run(context) {
      await context.step("tell", (step) => step.emit("Told", {}, { entity: "billing", sessionId: "s", properties: { big: 2n ** 40n, since: new Date(5) } }));
      await context.step("more", () => 1);
    },
  });
  const { undisturbed } = await testSkill.everyWay(skill);
  assert.equal(undisturbed.emitted[0]?.entity, "billing");
});

test("options that cannot be are refused, with what was expected", async () => {
  for (const [options, expected] of [
    [{ entity: "" }, /emit\.entity: expected 1 to 260 characters, none of them a control character, got ""/],
    [{ entity: "a\nb" }, /emit\.entity/],
    [{ sessionId: "s".repeat(129) }, /emit\.sessionId: expected 1 to 128 characters/],
    [{ delayMs: -1 }, /emit\.delayMs: expected a whole number from 0 to 34560000000, got -1/],
    [{ delayMs: 1, at: new Date(0) }, /expected either delayMs or at, got "both"/],
    [{ at: new Date(Number.NaN) }, /emit\.at: expected a valid Date/],
    [{ timeToLiveMs: 0 }, /emit\.timeToLiveMs: expected a whole number from 1/],
    [{ properties: { eventId: "x" } }, /emit\.properties\.eventId: expected a name that the event's own envelope does not have/],
    [{ properties: { "holdfast-x": "x" } }, /a name of at most 128 characters that does not begin with holdfast-/],
    [{ properties: { nested: {} as never } }, /emit\.properties\.nested: expected a string, a finite number/],
    [{ properties: { huge: 2n ** 70n } }, /a bigint of 64 bits/],
    [{ properties: { long: "x".repeat(20_000) } }, /emit\.properties: expected at most 16384 bytes in all, got 20004/],
    [{ properties: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`p${n}`, n])) }, /at most 50 properties, got 51/],
    [{ sesionId: "s" } as EmitOptions, /did you mean 'sessionId'/],
  ] as const) {
    const { outcome, reason, description } = await emitting(options);
    assert.deepEqual(
      [outcome, reason],
      ["dead-lettered", "EMIT_INVALID"],
      JSON.stringify(options, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
    );
    assert.match(description, expected);
  }
});
