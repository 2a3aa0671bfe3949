import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { artifactValidator } from "#handlers/artifact-validator/index.ts";
import { documentDrafter } from "#handlers/document-drafter/index.ts";
import { eventDispatcher } from "#handlers/event-dispatcher/index.ts";
import { webhookNotifier } from "#handlers/webhook-notifier/index.ts";
import { defaultForms, defaultMix, generate, type GeneratedMessage, type GenerateOptions } from "#load/generator/generate.ts";
import { effectsPerEvent, eventTypes, Material } from "#load/generator/material.ts";
import { poisonKindAt, poisonReasons } from "#load/generator/poison.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { EventEnvelope, Invalid } from "#runtime/core/event-envelope.ts";
import { type DecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { decodeEvent } from "#runtime/skills/host/decode-event.ts";
import { compilePayloadCheck } from "#runtime/skills/host/payload.ts";
import type { HttpDependency, Skill } from "#runtime/index.ts";
import { type HttpAnswer, stub, testSkill } from "#runtime/testing/index.ts";
import { delivery } from "../support/event-messages.ts";
import { webhookExamples } from "../support/webhook-examples.ts";

const skills = [eventDispatcher, artifactValidator, webhookNotifier, documentDrafter] as readonly Skill[];
const limits: DecodeLimits = { bodyBytesMax: 256 * 1024, depthMax: 64, ratioMax: 100, demandsAttributes: false };
const largestExample = Math.max(...webhookExamples().map(({ event }) => JSON.stringify(event).length));
const normal: GenerateOptions = { events: 20_000, duplicates: 0.05, poison: 0.02, payloadBytesMax: 3_000 };

const checks = new Map(await Promise.all(skills.map(async (skill) => [skill.name, await compilePayloadCheck(skill.name, skill.payload)] as const)));

function decode(message: OutgoingMessage): EventEnvelope | Invalid {
  const routed = readRoute(delivery(message.body, message.headers, message.contentType), limits);
  if (!routed.ok) return routed.invalid;
  const decoded = decodeEvent(
    { route: routed.route, body: message.body, contentEncoding: routed.contentEncoding, headers: routed.headers, enqueuedAtMs: 0 },
    limits,
  );
  return decoded.ok ? decoded.value : decoded.invalid;
}

function decodeGood({ message }: GeneratedMessage): EventEnvelope {
  const decoded = decode(message);
  assert.ok(!("reason" in decoded), `expected ${message.messageId} to decode, got ${JSON.stringify(decoded)}`);
  return decoded;
}

/** What the runtime makes of a message, up to the skill: routing, decoding, versions, payload. */
async function judge(message: OutgoingMessage): Promise<string> {
  const decoded = decode(message);
  if ("reason" in decoded) return decoded.reason;
  const skill = skills.find(({ handles }) => handles.some(({ eventType }) => eventType === decoded.eventType));
  if (skill === undefined) return "UnknownEventType";
  if (!decoded.version.startsWith("1.")) return "UnsupportedVersion";
  const checked = await checks.get(skill.name)?.(decoded.payload);
  return checked?.ok === true ? "fit" : (checked?.invalid.reason ?? "no check");
}

function count<Key>(items: Iterable<Key>): Map<Key, number> {
  const counts = new Map<Key, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

/** Asserts a share of a total within five standard deviations, so that a wrong rate fails and chance does not. */
function assertShare(what: string, found: number, total: number, share: number): void {
  const tolerance = 5 * Math.sqrt(total * share * (1 - share)) + 1;
  assert.ok(Math.abs(found - total * share) <= tolerance, `expected about ${total * share} ${what} of ${total}, got ${found}`);
}

test("the same seed makes the same stream, byte for byte, and another seed another", () => {
  const fingerprint = (seed: number): string[] =>
    Array.from(generate({ ...normal, events: 500, poison: 0.1, seed }), ({ message }) =>
      JSON.stringify({ ...message, body: Buffer.from(message.body).toString("base64") }),
    );
  const once = fingerprint(7);
  assert.deepEqual(fingerprint(7), once);
  assert.notDeepEqual(fingerprint(8), once);
  const ids = new Set(Array.from(generate({ ...normal, events: 500, poison: 0, seed: 7 }), ({ eventId }) => eventId));
  assert.ok(
    Array.from(generate({ ...normal, events: 500, poison: 0, seed: 8 })).every(({ eventId }) => !ids.has(eventId)),
    "expected no id of one seed in the stream of another",
  );
});

test("a stream can be iterated again", () => {
  const stream = generate({ ...normal, events: 50 });
  const ids = (): string[] => Array.from(stream, ({ message }) => message.messageId);
  const once = ids();
  assert.ok(once.length >= 50);
  assert.deepEqual(ids(), once);
});

test("duplicates, poison, skills and forms come at their rates", () => {
  const messages = Array.from(generate(normal), ({ kind, skill, form }) => ({ kind, skill, form }));
  const kinds = count(messages.map(({ kind }) => kind));
  assert.equal(kinds.get("first"), normal.events);
  assertShare("duplicates", kinds.get("duplicate") ?? 0, normal.events, 0.05);
  assertShare("poisoned", kinds.get("poison") ?? 0, normal.events, 0.02);
  const firsts = messages.filter(({ kind }) => kind === "first");
  const bySkill = count(firsts.map(({ skill }) => skill));
  for (const [skill, weight] of Object.entries(defaultMix)) assertShare(skill, bySkill.get(skill as keyof typeof defaultMix) ?? 0, firsts.length, weight / 100);
  const byForm = count(firsts.map(({ form }) => form));
  for (const [form, weight] of Object.entries(defaultForms)) assertShare(form, byForm.get(form as keyof typeof defaultForms) ?? 0, firsts.length, weight / 100);
});

test("only the skills and forms that were asked for come", () => {
  const messages = Array.from(generate({ events: 300, mix: { "webhook-notifier": 1 }, forms: { snake: 3, msgpack: 1 } }));
  assert.deepEqual([...count(messages.map(({ skill }) => skill)).keys()], ["webhook-notifier"]);
  assert.deepEqual(new Set(messages.map(({ form }) => form)), new Set(["msgpack", "snake"]));
});

test("message ids are unique, duplicates carry the event's id and body and follow it at all distances", () => {
  const bodies = new Map<string, { readonly body: string; readonly place: number }>();
  const messageIds = new Set<string>();
  const distances: number[] = [];
  let place = 0;
  for (const { message, eventId, kind } of generate({ ...normal, duplicates: 0.2, events: 10_000 })) {
    assert.ok(!messageIds.has(message.messageId), `expected ${message.messageId} once`);
    messageIds.add(message.messageId);
    const body = Buffer.from(message.body).toString("base64");
    if (kind === "first") {
      assert.equal(message.messageId, eventId);
      bodies.set(eventId ?? "", { body, place });
    } else if (kind === "duplicate") {
      const first = bodies.get(eventId ?? "");
      assert.ok(first, "expected the first to come before its duplicate");
      assert.equal(body, first.body);
      assert.match(message.messageId, new RegExp(`^${eventId}~dup\\d$`));
      distances.push(place - first.place);
    }
    place++;
  }
  assert.ok(distances.filter((distance) => distance < 10).length > 100, "expected some near");
  assert.ok(distances.filter((distance) => distance > 500).length > 100, "expected some far");
  assert.ok(
    [...messageIds].some((id) => id.endsWith("~dup2")),
    "expected some events three times",
  );
});

test("the last duplicates come even when the events have ended", () => {
  const kinds = Array.from(generate({ events: 1_000, duplicates: 0.5, payloadBytesMax: 1_500 }), ({ kind }) => kind);
  assertShare("duplicates", kinds.filter((kind) => kind === "duplicate").length, 1_000, 0.5);
  assert.equal(kinds.at(-1), "duplicate");
});

describe("every good message", () => {
  test("is what its skill takes, whatever the wire form, with each example in it unchanged", async () => {
    const examples = new Set(webhookExamples().map(({ event }) => JSON.stringify(event)));
    const seen = new Set<string>();
    for (const generated of generate({ events: 3_000, duplicates: 0.05 })) {
      const envelope = decodeGood(generated);
      assert.equal(envelope.eventId, generated.eventId);
      assert.equal(envelope.eventType, eventTypes[generated.skill]);
      assert.match(envelope.traceId, /^[0-9a-f]{32}$/);
      assert.match(envelope.projectId, /^project-\d+$/);
      assert.equal(await judge(generated.message), "fit", `${generated.skill} as ${generated.form}`);
      const payload = envelope.payload as { readonly event?: object; readonly artifact?: object; readonly about?: { readonly event: object } };
      const example = JSON.stringify(payload.event ?? payload.artifact ?? payload.about?.event);
      assert.ok(examples.has(example), `expected the example to come through ${generated.form} as it is`);
      seen.add(example);
    }
    assert.ok(seen.size > 300, `expected most examples to come, got ${seen.size}`);
  });

  test("says the same in every form", () => {
    const [expected, ...others] = Object.keys(defaultForms).map((form) =>
      decodeGood([...generate({ events: 3, seed: 5, forms: { [form]: 1 } })][2] as GeneratedMessage),
    );
    for (const other of others) {
      // A CloudEvent names its source as a URI, and the agent is taken from it.
      assert.deepEqual({ ...other, originatingAgent: "" }, { ...expected, originatingAgent: "" });
      assert.match(other.originatingAgent, /repository-watcher$/);
    }
  });

  test("of every example can be made for every skill", async () => {
    const material = new Material(Number.POSITIVE_INFINITY);
    assert.equal(material.size, webhookExamples().length);
    for (const { name } of skills) {
      for (let number = 0; number < material.size; number++) {
        const { head, example, tail } = material.json(name as keyof typeof eventTypes, number);
        const checked = await checks.get(name)?.(JSON.parse(Buffer.concat([head, example, tail]).toString("utf8")));
        assert.ok(checked?.ok, `${name}, example ${number}: ${JSON.stringify(checked)}`);
      }
    }
  });
});

describe("poison", () => {
  test("of every kind comes once a cycle, the large body in one cycle of four", () => {
    const cycle = Object.keys(poisonReasons).length - 1;
    const counts = count(Array.from({ length: 4 * cycle + 1 }, (_, number) => poisonKindAt(number)));
    for (const kind of Object.keys(poisonReasons) as (keyof typeof poisonReasons)[]) assert.equal(counts.get(kind), kind === "body-too-large" ? 1 : 4, kind);
    assert.equal(new Set(Array.from({ length: cycle }, (_, number) => poisonKindAt(number))).size, cycle);
  });

  test("of every kind is refused for the reason it is expected to be", async () => {
    const met = new Set<string>();
    for (const { message, kind, poison, reason, expects, eventId } of generate({ events: 100, poison: 1, seed: 3 })) {
      if (kind !== "poison" || poison === undefined) continue;
      met.add(poison);
      assert.equal(expects, "dead-lettered");
      assert.equal(await judge(message), poison === "event-id-reuse" ? "fit" : reason, poison);
      if (eventId !== undefined && poison !== "event-id-reuse") assert.match(eventId, /^evt-3-p\d+$/);
    }
    assert.deepEqual([...met].sort(), Object.keys(poisonReasons).sort());
  });

  test("that reuses an id follows the event it takes it from, with another payload for the same skill", () => {
    const firsts = new Map<string, GeneratedMessage>();
    let reused = 0;
    for (const generated of generate({ events: 4_000, poison: 0.2, payloadBytesMax: 3_000 })) {
      if (generated.kind === "first") firsts.set(generated.eventId ?? "", generated);
      if (generated.poison !== "event-id-reuse") continue;
      reused++;
      const first = firsts.get(generated.eventId ?? "");
      assert.ok(first, "expected the event to have come before");
      assert.equal(generated.skill, first.skill);
      assert.deepEqual(
        { ...decodeGood(generated), originatingAgent: "", payload: undefined },
        { ...decodeGood(first), originatingAgent: "", payload: undefined },
      );
      assert.notDeepEqual(decodeGood(generated).payload, decodeGood(first).payload);
    }
    assert.ok(reused > 30);
  });

  test("is larger than the cap that it is told", () => {
    const large = [...generate({ events: 200, poison: 1, bodyBytesMax: 1_000_000, payloadBytesMax: 1_500 })].filter(
      ({ poison }) => poison === "body-too-large",
    );
    assert.ok(large.length > 0);
    assert.ok(large.every(({ message }) => message.body.byteLength > 1_000_000 && message.body.byteLength < 1_001_000));
  });
});

test("each event has the effects that are said of its skill", async () => {
  const answers = new Map<string, HttpAnswer>([
    ["notifier", { body: { id: "hook-1" } }],
    ["model", { body: { choices: [{ message: { content: '1. One\n2. Two\n{"approved":true}' } }] } }],
    ["library", { body: { revision: 1 } }],
  ]);
  for (const generated of generate({ events: 40, forms: { canonical: 1 } })) {
    const skill = skills.find(({ name }) => name === generated.skill);
    assert.ok(skill);
    const dependencies = skill.uses.map((dependency) => stub(dependency as unknown as HttpDependency, answers.get(dependency.name) ?? {}));
    const { calls } = await testSkill(skill, { event: { payload: decodeGood(generated).payload }, dependencies });
    const effects = count(calls.map(({ dependency }) => dependency));
    assert.deepEqual(
      { notifier: effects.get("notifier") ?? 0, model: effects.get("model") ?? 0, library: effects.get("library") ?? 0 },
      effectsPerEvent[generated.skill],
    );
  }
});

test("a long stream keeps no bodies", () => {
  const bytesBefore = process.memoryUsage().rss;
  let bytesMade = 0;
  for (const { message } of generate({ events: 60_000, duplicates: 0.2 })) bytesMade += message.body.byteLength;
  const grown = process.memoryUsage().rss - bytesBefore;
  assert.ok(bytesMade > 500e6);
  assert.ok(grown < bytesMade / 2, `expected memory to stay far below the ${bytesMade} bytes made, it grew by ${grown}`);
});

test("options out of range are refused with what was expected", () => {
  for (const wrong of [
    { events: -1 },
    { events: 1.5 },
    { duplicates: 2 },
    { poison: -0.1 },
    { seed: -1 },
    { mix: {} },
    { mix: { "event-dispatcher": -1 } },
    { payloadBytesMax: 10 },
  ]) {
    assert.throws(() => [...generate({ events: 1, ...wrong })], /expected .+ got/);
  }
  assert.ok(largestExample < 256 * 1024, "expected every example to fit under the default cap");
});
