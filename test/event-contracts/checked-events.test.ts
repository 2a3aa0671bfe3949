// Payloads are checked by their contracts before a skill runs and when they are emitted; what is older is converted first.
import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { openContracts } from "#runtime/contracts/compiled-contracts.ts";
import { openRegistry } from "#runtime/contracts/read-contracts.ts";
import type { UnknownContracts } from "#runtime/core/config/contracts.ts";
import { type Skill, type SkillContext, defineSkill } from "#runtime/index.ts";
import { SkillRegistry } from "#runtime/skills/host/registry.ts";
import placed from "../support/contracts/OrderPlaced/2.0.ts";
import { folderOfTest, objectOf, sampleContracts } from "../support/contract-files.ts";
import { envelope, json } from "../support/event-messages.ts";
import { makeHost } from "../skills/host.ts";

interface Given {
  readonly skill: Skill;
  readonly folder?: string;
  readonly unknown?: UnknownContracts;
  readonly eventType?: string;
  readonly version?: string;
  readonly payload: unknown;
}

/** How the run ended: its kind, with the reason or the code, and what was said. */
async function outcome(t: TestContext, { skill, folder = sampleContracts, unknown = "allow", eventType = "OrderPlaced", version = "1.0", payload }: Given) {
  const bundle = await makeHost(t, [skill], undefined, undefined, {}, undefined, await openContracts({ folder, unknown }));
  const event = { ...envelope, eventType, version, payload };
  const { answer } = await bundle.run({
    route: { eventId: envelope.eventId, eventType, version, form: "canonical", codec: "json" },
    body: json(event),
  });
  switch (answer.kind) {
    case "invalid":
      return [answer.invalid.reason, answer.invalid.description];
    case "failed":
      return [answer.failure.code, answer.failure.message, answer.retryable];
    default:
      return [answer.kind];
  }
}

function seeing(versions: "1.x" | "2.x" | "3.x", seen: unknown[], more: object = {}): Skill {
  return defineSkill({
    name: "seeing",
    handles: [{ eventType: "OrderPlaced", versions }],
    ...more,
    run: ({ event }: SkillContext) => void seen.push([event.version, event.payload]),
  });
}

const emitting = (...emitted: Parameters<SkillContext["emit"]>): Skill =>
  defineSkill({ name: "emitting", handles: [{ eventType: "OrderPlaced" }], run: (context) => context.emit(...emitted) });
const good = { orderId: "o-1", amount: "12.50" };

test("a payload that breaks its contract is dead-lettered as any bad payload, with type, version and path; the skill does not run", async (t) => {
  const seen: unknown[] = [];
  const skill = seeing("1.x", seen);
  assert.deepEqual(await outcome(t, { skill, payload: good }), ["completed"]);
  assert.deepEqual(await outcome(t, { skill, payload: { ...good, amount: 12 } }), [
    "InvalidPayload",
    "contract OrderPlaced 1.0: payload/amount: must be string",
  ]);
  assert.deepEqual(await outcome(t, { skill, payload: { ...good, note: 1 }, version: "1.1" }), [
    "InvalidPayload",
    "contract OrderPlaced 1.1: payload/note: must be string",
  ]);
  assert.deepEqual(seen, [["1.0", good]]);
});

test("an event without a contract runs, or is dead-lettered where the configuration wants it so", async (t) => {
  const skill = seeing("1.x", []);
  assert.deepEqual(await outcome(t, { skill, payload: {}, version: "1.7" }), ["completed"]);
  assert.deepEqual(await outcome(t, { skill, payload: {}, version: "1.7", unknown: "refuse" }), [
    "InvalidPayload",
    "contract OrderPlaced 1.7: expected a version that has a contract (1.0, 1.1, 2.0), found none of 1.7; name another version, or add its contract",
  ]);
  const probed = defineSkill({ name: "probed", handles: [{ eventType: "holdfast.probe" }], run: () => undefined });
  assert.deepEqual(await outcome(t, { skill: probed, eventType: "holdfast.probe", payload: {}, unknown: "refuse" }), ["completed"]);
  const other = defineSkill({ name: "other", handles: [{ eventType: "Other" }], run: () => undefined });
  const [reason, text] = await outcome(t, { skill: other, eventType: "Other", payload: {}, unknown: "refuse" });
  assert.deepEqual([reason, /add Other\/1\.0\.json/.test(String(text))], ["InvalidPayload", true]);
});

test("a skill that handles the newer major alone is given the payload of the older one converted, and checked as both", async (t) => {
  const seen: unknown[] = [];
  const skill = seeing("2.x", seen);
  assert.deepEqual(await outcome(t, { skill, payload: good }), ["completed"]);
  assert.deepEqual(seen, [["2.0", { ...good, cents: 1250 }]]);
  assert.deepEqual(await outcome(t, { skill, payload: { orderId: "o-1" } }), [
    "InvalidPayload",
    "contract OrderPlaced 1.0: payload: must have required property 'amount'",
  ]);
  const [code, text, retryable] = await outcome(t, { skill, payload: { ...good, amount: "twelve" } });
  assert.deepEqual([code, retryable], ["UPCAST_FAILED", false]);
  assert.match(
    String(text),
    /^upcaster OrderPlaced\/1-2\.ts: expected a payload of OrderPlaced 2\.0 made of one of 1\.0, it returned what is none: contract OrderPlaced 2\.0: payload\/cents/,
  );
});

test("upcasters are applied one after the other, as far as the skill needs it", async (t) => {
  const folder = folderOfTest(t, {
    "OrderPlaced/1.0.json": objectOf({ a: { type: "number" } }, ["a"]),
    "OrderPlaced/2.0.json": objectOf({ b: { type: "number" } }, ["b"]),
    "OrderPlaced/3.0.json": objectOf({ c: { type: "number" } }, ["c"]),
    "OrderPlaced/1-2.ts": "export default ({ a }) => ({ b: a + 1 });",
    "OrderPlaced/2-3.ts": "export default ({ b }) => { if (b > 9) throw new RangeError('too much'); return { c: b * 2 }; };",
  });
  const seen: unknown[] = [];
  assert.deepEqual(await outcome(t, { folder, skill: seeing("3.x", seen), payload: { a: 1 } }), ["completed"]);
  assert.deepEqual(await outcome(t, { folder, skill: seeing("2.x", seen), payload: { a: 1 } }), ["completed"]);
  assert.deepEqual(seen, [
    ["3.0", { c: 4 }],
    ["2.0", { b: 2 }],
  ]);
  const [code, text] = await outcome(t, { folder, skill: seeing("3.x", seen), payload: { a: 9 } });
  assert.deepEqual([code, /2-3\.ts: .* of 2\.0, it threw: too much/.test(String(text))], ["UPCAST_FAILED", true]);
});

test("the worker routes an older version to the skill that upcasters lead to, and prefers the one that handles it as it is", async () => {
  const registry = await openRegistry(sampleContracts);
  const plugin = (...versions: ("1.x" | "2.x")[]) => {
    const skills = versions.map((range) =>
      defineSkill({ name: `of-${range[0]}`, handles: [{ eventType: "OrderPlaced", versions: range }], run: () => undefined }),
    );
    return { name: "p", version: "1.0.0", listedAs: "p", folder: "", entry: "", skills, dependencies: [], resources: [], settings: undefined, slow: [] };
  };
  const config = { dependencies: new Map(), skills: new Map() };
  const found = (table: SkillRegistry, version: string): string => {
    const policy = table.find("OrderPlaced", version);
    return typeof policy === "string" ? policy : policy.name;
  };
  const newOnly = new SkillRegistry([plugin("2.x")], config, registry);
  assert.deepEqual(
    [found(newOnly, "1.0"), found(newOnly, "1.0"), found(newOnly, "2.0"), found(newOnly, "0.9")],
    ["of-2", "of-2", "of-2", "unsupported-version"],
  );
  const both = new SkillRegistry([plugin("1.x", "2.x")], config, registry);
  assert.deepEqual([found(both, "1.0"), found(both, "2.0")], ["of-1", "of-2"]);
  assert.equal(found(new SkillRegistry([plugin("2.x")], config), "1.0"), "unsupported-version");
});

test("an emitted payload that breaks its contract fails in the skill, for good, with type, version and path", async (t) => {
  assert.deepEqual(await outcome(t, { skill: emitting("OrderShipped", { orderId: "o-1", at: new Date(0), left: undefined }), payload: good }), ["completed"]);
  assert.deepEqual(await outcome(t, { skill: emitting("OrderShipped", { orderId: "o-1", at: "soon" }), payload: good }), [
    "EMIT_INVALID",
    'contract OrderShipped 1.0: payload/at: must match format "date-time"',
    false,
  ]);
  assert.deepEqual(await outcome(t, { skill: emitting("OrderPlaced", { ...good, cents: "1" }, { version: "2.0" }), payload: good }), [
    "EMIT_INVALID",
    "contract OrderPlaced 2.0: payload/cents: Invalid input: expected number, received string",
    false,
  ]);
  const [code, text] = await outcome(t, { skill: emitting("OrderShipped", {}, { version: "3.0" }), payload: good });
  assert.deepEqual(
    [code, text],
    ["EMIT_INVALID", "contract OrderShipped 3.0: expected a version that has a contract (1.0), found none of 3.0; name another version, or add its contract"],
  );
  assert.deepEqual(await outcome(t, { skill: emitting("Noted", { any: 1 }), payload: good }), ["completed"]);
  assert.equal((await outcome(t, { skill: emitting("Noted", { any: 1 }), payload: good, unknown: "refuse" }))[0], "EMIT_INVALID");
});

test("a skill that takes its payload's type from the contract has it checked once", async (t) => {
  const seen: unknown[] = [];
  const skill = seeing("2.x", seen, { payload: placed });
  const payload = { ...good, cents: 5 };
  assert.deepEqual(await outcome(t, { skill, payload, version: "2.0" }), ["completed"]);
  assert.deepEqual(await outcome(t, { skill, payload: { ...payload, cents: -1 }, version: "2.0" }), [
    "InvalidPayload",
    "skill 'seeing': payload/cents: Too small: expected number to be >=0",
  ]);
});
