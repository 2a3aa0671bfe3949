// What the configuration says of load shedding and of priorities, and what a worker makes of it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { composePriorities, sheddingOf } from "#runtime/compose/priorities.ts";
import { type Config, type ConfigInput, parseConfig } from "#runtime/core/config.ts";
import { defaultLoadSheddingPolicy } from "#runtime/core/load-shedding.ts";

const good: ConfigInput = { sources: [{ queue: "input" }], serviceBus: { connectionString: "Endpoint=sb://localhost" }, plugins: ["./a"] };
const registry = { skills: [{ name: "greeter" }] as never, handled: new Map([["CustomerCreated", ["1.x"]]]) };

function parsed(changes: Partial<ConfigInput>): Config {
  return parseConfig({ ...good, ...changes }, "c");
}

test("nothing is shed by default; what is given switches it on, with the defaults for the rest", () => {
  assert.deepEqual(sheddingOf(parsed({})), defaultLoadSheddingPolicy);
  assert.deepEqual(sheddingOf(parsed({ loadShedding: {} })), { ...defaultLoadSheddingPolicy, enabled: true });
  const changes = { enabled: false, upTo: "high", queueAgeMs: 100, ratio: 0.5, perSecondMin: 0, postponementsMax: 1, afterwards: "dead-letter" } as const;
  assert.deepEqual(sheddingOf(parsed({ loadShedding: changes })), changes);
});

test("refuses what cannot be, by its key", () => {
  const refused = (loadShedding: unknown, message: RegExp): void => assert.throws(() => parsed({ loadShedding } as never), message);
  refused({ upTo: "critical" }, /loadShedding\.upTo: expected .*"low"\|"normal"\|"high", got "critical"/);
  refused({ queueAgeMs: 99 }, /loadShedding\.queueAgeMs: expected .*100/);
  refused({ ratio: 1_001 }, /loadShedding\.ratio: expected .*1000/);
  refused({ postponementsMax: 0 }, /loadShedding\.postponementsMax: expected .*1/);
  refused({ property: true }, /loadShedding\.property/);
  refused({ priorities: { tenant: { acme: "urgent" } } }, /loadShedding\.priorities\.tenant\.acme: expected .*got "urgent"/);
  refused({ priorities: { tenants: {} } }, /loadShedding\.priorities\.tenants: unknown key; did you mean 'tenant'\?/);
});

test("critical projects of escalation are critical, unless a priority is configured for them", () => {
  const escalation = {
    channels: { team: { kind: "queue", queue: "alarms" } },
    rules: [{ name: "all", to: ["team"] }],
    criticalProjects: ["shop", "blog"],
  } as never;
  const rules = composePriorities(parsed({ escalation, loadShedding: { property: false, priorities: { project: { blog: "low", docs: "low" } } } }), registry);
  assert.deepEqual(
    [rules.property, [...rules.project]],
    [
      false,
      [
        ["shop", "critical"],
        ["blog", "low"],
        ["docs", "low"],
      ],
    ],
  );
  const plain = composePriorities(parsed({}), registry);
  assert.deepEqual([plain.property, plain.project.size, plain.tenant.size, plain.eventType.size, plain.skill.size], ["priority", 0, 0, 0, 0]);
});

test("skills and event types that no plugin has are refused, with what was probably meant", () => {
  const composed = (priorities: object) => composePriorities(parsed({ loadShedding: { priorities } }), registry);
  assert.equal(composed({ skill: { greeter: "low" }, eventType: { CustomerCreated: "high" } }).skill.get("greeter"), "low");
  assert.throws(() => composed({ skill: { greeeter: "low" } }), {
    code: "HOLDFAST_CONFIGURATION",
    message: "loadShedding.priorities.skill.greeeter: expected one that a listed plugin has (greeter), got 'greeeter'; did you mean 'greeter'?",
  });
  assert.throws(() => composed({ eventType: { CustomerCreate: "low" } }), /priorities\.eventType\.CustomerCreate: expected one that a listed plugin has/);
});
