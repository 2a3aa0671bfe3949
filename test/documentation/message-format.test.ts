// README's "Message format": every example is read as the worker reads it, and its tables say what the code does.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { ServiceBusMessage } from "@azure/service-bus";
import { apartHeader, copyOf, enqueuedFirstHeader, originHeader, postponedHeader, retriesInPlaceHeader, waitsForHeader } from "#runtime/core/copy.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import type { EnvelopeHook } from "#runtime/core/envelope-hook.ts";
import type { EventEnvelope, WireForm } from "#runtime/core/event-envelope.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { canonicalNames, cloudEventsNames, eventGridNames, snakeNames } from "#runtime/core/wire-forms.ts";
import { immediateDelayMs, postponeMaxMs, queueDelayMs } from "#runtime/policy/backoff.ts";
import { decodeEvent } from "#runtime/skills/host/decode-event.ts";
import { delivery, json } from "../support/event-messages.ts";
import { codeBlocksOf, codeIn, readDocument, sectionOf, tableOf } from "../support/markdown.ts";
import { importExample } from "../support/readme-examples.ts";

const readme = readDocument("README.md");
const format = sectionOf(readme, "## Message format");
const examples = codeBlocksOf(sectionOf(format, "### One example of each form"));

/** A message as a block of JSON shows it, or an example in TypeScript makes it. */
type Shown = Pick<ServiceBusMessage, "messageId" | "contentType" | "applicationProperties" | "body">;

function received({ contentType, applicationProperties, body }: Shown): Delivery {
  const bytes = body instanceof Uint8Array ? body : json(body);
  return delivery(bytes, applicationProperties, contentType);
}

function read(message: Delivery, hooks: readonly EnvelopeHook[] = []): { readonly form: WireForm; readonly event: EventEnvelope } {
  const routed = readRoute(message, defaultDecodeLimits, hooks);
  assert.ok(routed.ok, routed.ok ? "" : routed.invalid.description);
  const decoded = decodeEvent({ ...routed, body: message.body, enqueuedAtMs: 0 }, defaultDecodeLimits);
  assert.ok(decoded.ok, decoded.ok ? "" : decoded.invalid.description);
  return { form: routed.route.form, event: decoded.value };
}

function shownUnder(title: string): Shown {
  const block = examples.find((block) => block.language === "json" && block.title === title);
  assert.ok(block !== undefined, `expected README.md to have an example with the title '${title}'`);
  return JSON.parse(block.text) as Shown;
}

const forms: readonly (readonly [title: string, form: WireForm])[] = [
  ["Canonical", "canonical"],
  ["snake_case", "snake"],
  ["CloudEvents 1.0, structured", "cloudevents-structured"],
  ["CloudEvents 1.0, binary", "cloudevents-binary"],
  ["Event Grid's own schema", "event-grid"],
];
const whole = shownUnder("Canonical").body as EventEnvelope;

for (const [title, form] of forms) {
  test(`the example '${title}' is read as that form, and is the event of the canonical one`, () => {
    const { form: found, event } = read(received(shownUnder(title)));
    assert.equal(found, form);
    // What this form has no place for has the default that the table states.
    const defaults = form === "event-grid" ? { traceId: whole.eventId, correlationId: whole.eventId, projectId: "default" } : {};
    assert.deepEqual(event, { ...whole, ...defaults });
  });
}

test("every example of a message is one of the forms above", () => {
  assert.deepEqual(
    examples.filter(({ language }) => language === "json").map(({ title }) => title),
    forms.map(([title]) => title),
  );
});

test("the canonical example is read without its application properties, too", () => {
  assert.deepEqual(read(received({ body: whole })).event, whole);
});

test("the examples in msgpack and in gzip are the same event", async () => {
  const { packed, compressed } = await importExample<{ packed: ServiceBusMessage; compressed: ServiceBusMessage }>("export const packed");
  for (const message of [packed, compressed]) assert.deepEqual(read(received(message)).event, whole);
});

test("the example of a hook reads MassTransit's envelope, and leaves other messages to the forms above", async () => {
  const { massTransit } = await importExample<{ massTransit: EnvelopeHook }>("export const massTransit");
  const body = { messageId: "m-1", conversationId: "c-1", messageType: ["urn:message:Shop:OrderPlaced"], message: whole.payload };
  const { form, event } = read(received({ body, contentType: "application/vnd.masstransit+json" }), [massTransit]);
  assert.equal(form, "hooked");
  assert.deepEqual([event.eventId, event.eventType, event.version, event.correlationId, event.payload], ["m-1", "OrderPlaced", "1.2", "c-1", whole.payload]);
  for (const [title, form] of forms) assert.equal(read(received(shownUnder(title)), [massTransit]).form, form);
});

test("the table of the envelope has every field under its name in each form", () => {
  const rows = tableOf(format, "envelope").map((row) => row.map((cell) => codeIn(cell)));
  const [payload] = rows.splice(-1);
  assert.deepEqual(payload?.slice(0, 4), [["payload"], [], ["data", "data_base64"], ["data"]]);
  const hasOwnName = ["eventId", "eventType", "version", "timestamp"];
  const expected = Object.entries(canonicalNames).map(([field, name]) => {
    const key = field as keyof typeof canonicalNames;
    return [[name], [snakeNames[key]], [cloudEventsNames[key]], hasOwnName.includes(field) ? [eventGridNames[key]] : []];
  });
  const byName = (a: string[][], b: string[][]): number => String(a[0]).localeCompare(String(b[0]));
  assert.deepEqual(rows.map((row) => row.slice(0, 4)).sort(byName), expected.sort(byName));
});

test("the example of a copy is what the worker sends: the message of before, a new id, and its own headers", () => {
  const block = codeBlocksOf(sectionOf(format, "### Retries and copies")).find(({ language }) => language === "json");
  assert.ok(block !== undefined);
  const shown = JSON.parse(block.text) as Shown;
  const original = {
    ...received(shownUnder("Canonical")),
    messageId: whole.eventId,
    enqueuedAtMs: Number(shown.applicationProperties?.["holdfast-enqueued-first"]),
  };
  const copy = copyOf(original, { atMs: 0, secret: "s", postponements: 2, retriesInPlace: 1, waitsFor: "lane-full mailer" });
  assert.deepEqual(copy.headers, shown.applicationProperties);
  const shape = /^order-4711-placed~[A-Za-z0-9_-]{22}$/;
  assert.match(copy.messageId, shape);
  assert.match(String(shown.messageId), shape);
  assert.deepEqual(read(received(shown)).event, whole);
});

test("the headers of copies stand in the table of headers", () => {
  const named = tableOf(format, "application property").flatMap(([name = ""]) => codeIn(name));
  for (const header of [originHeader, enqueuedFirstHeader, postponedHeader, retriesInPlaceHeader, apartHeader, waitsForHeader, "content-encoding"])
    assert.ok(named.includes(header), `expected the table to name ${header}`);
});

test("the stated pauses are those of the default policy, and every reason for postponing has its row", () => {
  const bounds = (delay: (random: () => number) => number): number[] => [delay(() => 0), delay(() => 1)];
  assert.deepEqual(
    bounds((random) => immediateDelayMs(defaultRetryPolicy, 1, random)),
    [200, 400],
  );
  assert.deepEqual(
    bounds((random) => queueDelayMs(defaultRetryPolicy, 1, random)),
    [30_000, 60_000],
  );
  assert.deepEqual(
    bounds((random) => queueDelayMs(defaultRetryPolicy, 2, random)),
    [300_000, 600_000],
  );
  assert.equal(defaultRetryPolicy.attemptsMax, 4);
  assert.equal(postponeMaxMs, 60_000);
  const rows = tableOf(format, "what happened");
  for (const text of ["200–400 ms", "30–60 s, then 5–10 min", "doubled each time up to 60 s"])
    assert.ok(
      rows.some(([, pause]) => pause?.includes(text)),
      `expected a row with '${text}'`,
    );
  const declared = /type PostponeReason = (.*);/.exec(readDocument("runtime/core/settlement.ts"))?.[1] ?? "";
  const reasons = [...declared.matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? "");
  assert.ok(reasons.length > 0);
  assert.deepEqual(rows.flatMap(([what = ""]) => codeIn(what)).sort(), reasons.sort());
});
