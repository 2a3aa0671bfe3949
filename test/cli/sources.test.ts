// What the configuration says of each source reaches it, and what it leaves out is the worker's own. Nothing is connected.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { composeSources } from "#runtime/compose/sources.ts";
import { parseConfig } from "#runtime/core/config.ts";
import type { SkillTable } from "#runtime/core/skill.ts";
import { skillPolicy } from "../support/pipeline-world.ts";

const policies = ["charge", "notify"].map((name) => skillPolicy(name));
/** An event's type is the name of its skill. */
const skills: SkillTable = {
  policies,
  handled: new Map(policies.map(({ name }) => [name, ["1.x"]])),
  find: (eventType) => policies.find(({ name }) => name === eventType) ?? "unknown-type",
};
const sessions = { concurrentMax: 3, idleMs: 20, turnMs: 300, onFailure: "skip" } as const;

test("each source has what its configuration says, or else what holds for the worker", async () => {
  const config = parseConfig(
    {
      sources: [
        { queue: "plain" },
        { queue: "ordered", name: "in-order", weight: 3, priority: 2, deliveriesMax: 4, skills: ["charge"], sessions },
        { topic: "news", subscription: "audit", retryQueue: "later", sessions: {} },
      ],
      deliveriesMax: 7,
      serviceBus: { fullyQualifiedNamespace: "127.0.0.1" },
      plugins: ["./handlers/event-dispatcher"],
      store: { kind: "sqlite", path: ":memory:" },
    },
    "test",
  );
  const composed = await composeSources(config, import.meta.dirname, { skills, heard: () => undefined, tell: () => undefined });
  const seen = composed.sources.map(({ transport: _transport, store: _store, storeDoubt: _doubt, skills: table, ...traits }) => ({
    ...traits,
    skills: table.policies.map(({ name }) => name),
    notify: typeof table.find("notify", "1.0"),
  }));
  const all = { skills: ["charge", "notify"], notify: "object", weight: 1, priority: 0, deliveriesMax: 7 };
  assert.deepEqual(seen, [
    { ...all, name: "plain", consumer: "plain", retryEntity: "plain", sessions: undefined, readsBesideSessions: false },
    {
      name: "in-order",
      consumer: "ordered",
      retryEntity: "ordered",
      weight: 3,
      priority: 2,
      deliveriesMax: 4,
      skills: ["charge"],
      notify: "string",
      sessions,
      readsBesideSessions: false,
    },
    {
      ...all,
      name: "news/audit",
      consumer: "news/audit",
      retryEntity: "later",
      sessions: { concurrentMax: 16, idleMs: 1_000, turnMs: 10_000, onFailure: "block" },
      readsBesideSessions: true,
    },
  ]);
});
