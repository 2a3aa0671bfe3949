// Messages as producers outside write them: what they lack, and what their payloads may be.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { pack } from "msgpackr";
import type { EnvelopeHook } from "../../runtime/core/envelope-hook.ts";
import type { EventEnvelope } from "../../runtime/core/event-envelope.ts";
import { defaultDecodeLimits, readRoute } from "../../runtime/core/read-route.ts";
import { decodeEvent } from "../../runtime/skills/host/decode-event.ts";
import { delivery, eventGridEvent, json, msgpack } from "../support/event-messages.ts";

type Message = ReturnType<typeof delivery>;

const enqueuedAtMs = Date.UTC(2024, 4, 1, 9);
const demanding = { ...defaultDecodeLimits, demandsAttributes: true };

function decode(message: Message, hooks: readonly EnvelopeHook[] = [], limits = defaultDecodeLimits): ReturnType<typeof decodeEvent> {
  const received = { ...message, enqueuedAtMs };
  const routed = readRoute(received, limits, hooks);
  return routed.ok ? decodeEvent({ ...routed, body: received.body, enqueuedAtMs }, limits) : routed;
}

function eventOf(message: Message, hooks: readonly EnvelopeHook[] = []): EventEnvelope {
  const result = decode(message, hooks);
  assert.ok(result.ok, result.ok ? "" : result.invalid.description);
  return result.value;
}

function refusal(message: Message, hooks: readonly EnvelopeHook[] = [], limits = defaultDecodeLimits): string {
  const result = decode(message, hooks, limits);
  assert.ok(!result.ok, "expected a refusal");
  return `${result.invalid.reason}: ${result.invalid.description}`;
}

const plain = { specversion: "1.0", id: "e-1", type: "com.example.ordered", source: "/shop" };
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const filled = {
  eventId: "e-1",
  eventType: "com.example.ordered",
  traceId: "e-1",
  correlationId: "e-1",
  projectId: "default",
  originatingAgent: "/shop",
  version: "1.0",
  timestamp: "2024-05-01T09:00:00.000Z",
};

describe("a CloudEvent with no attribute but what its specification asks for", () => {
  const structured = (more: object, contentType = "application/cloudevents+json"): Message => delivery(json({ ...plain, ...more }), {}, contentType);
  const binary = (prefix: string, more: Readonly<Record<string, string>>, body: unknown = 1): Message =>
    delivery(json(body), Object.fromEntries(Object.entries({ ...plain, ...more }).map(([name, value]) => [`${prefix}${name}`, value])), "application/json");

  test("gets the stated defaults, in the structured form and under each prefix of the binary one", () => {
    assert.deepEqual(eventOf(structured({ data: 1 })), { ...filled, payload: 1 });
    assert.deepEqual(eventOf(structured({ data: 1 }, "application/json")), { ...filled, payload: 1 });
    for (const prefix of ["cloudEvents:", "cloudEvents_", "ce-"]) assert.deepEqual(eventOf(binary(prefix, {})), { ...filled, payload: 1 });
  });

  test("has its own where it has them", () => {
    const more = {
      traceparent,
      dataschema: "https://schemas.example/order/2.7",
      time: "2024-05-01T12:00:00Z",
      projectid: "p",
      correlationid: "c",
      originatingagent: "a",
    };
    const expected = {
      ...filled,
      traceId: traceparent.slice(3, 35),
      version: "2.7",
      timestamp: "2024-05-01T12:00:00Z",
      projectId: "p",
      correlationId: "c",
      originatingAgent: "a",
      payload: 1,
    };
    assert.deepEqual(eventOf(structured({ ...more, data: 1 })), expected);
    for (const prefix of ["cloudEvents:", "cloudEvents_", "ce-"]) assert.deepEqual(eventOf(binary(prefix, more)), expected);
  });

  test("is read as Event Grid delivers it to a queue: its headers beside it, alone or in a list of one", () => {
    const headers = {
      "aeg-subscription-name": "TO-QUEUE",
      "aeg-delivery-count": "0",
      "aeg-event-type": "Notification",
      "aeg-metadata-version": "1.0",
      "aeg-output-event-id": "e-1",
    };
    const event = { ...plain, type: "Microsoft.Storage.BlobCreated", subject: "b.png", data: { api: "PutBlob" } };
    for (const body of [event, [event]]) {
      assert.deepEqual(eventOf(delivery(json(body), headers, "application/cloudevents+json; charset=utf-8")), {
        ...filled,
        eventType: event.type,
        payload: event.data,
      });
      assert.deepEqual(eventOf(delivery(json(body), headers)), { ...filled, eventType: event.type, payload: event.data });
    }
  });

  test("does not fail for a source that is longer than an agent's name", () => {
    assert.equal(eventOf(structured({ source: `/${"s".repeat(500)}` })).originatingAgent.length, 256);
    assert.match(refusal(structured({ source: undefined })), /^InvalidEnvelope: source: expected a string that is not empty, got nothing$/);
  });

  test("is refused where the configuration demands them, naming the attribute", () => {
    const own = { version: "1.0", traceid: "t", correlationid: "c", projectid: "p", originatingagent: "a", time: "2024-05-01T12:00:00Z" };
    assert.ok(decode(structured(own), [], demanding).ok);
    for (const name of Object.keys(own)) {
      assert.match(
        refusal(structured({ ...own, [name]: undefined, dataschema: "urn:order:v1.0", traceparent }), [], demanding),
        new RegExp(`^InvalidEnvelope: ${name}: expected .* got nothing$`),
      );
      const { [name]: _, ...rest } = own as Record<string, string>;
      assert.match(refusal(binary("ce-", rest), [], demanding), new RegExp(`^InvalidEnvelope: (?:cloudEvents:)?${name}: expected .* got nothing$`));
    }
  });
});

describe("the data of a CloudEvent", () => {
  const bytes = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0, 255);
  const base64 = (data: Uint8Array, datacontenttype?: string): Message =>
    delivery(json({ ...plain, datacontenttype, data_base64: Buffer.from(data).toString("base64") }));

  test("arrives as bytes when it is base64 of what is no JSON", () => {
    for (const type of ["image/png", "application/octet-stream", "application/xml", undefined]) assert.deepEqual(eventOf(base64(bytes, type)).payload, bytes);
    assert.deepEqual(eventOf(base64(json({ a: 1 }), "application/octet-stream")).payload, Uint8Array.from(json({ a: 1 })));
  });

  test("is decoded when it is base64 of JSON or msgpack, and refused when it only says so", () => {
    for (const type of ["application/json", "application/vnd.x+json; charset=utf-8", undefined])
      assert.deepEqual(eventOf(base64(json({ a: 1 }), type)).payload, { a: 1 });
    assert.deepEqual(eventOf(base64(msgpack({ a: 1 }), "application/msgpack")).payload, { a: 1 });
    assert.match(refusal(base64(bytes, "application/json")), /^InvalidEnvelope: body: expected UTF-8/);
    assert.match(refusal(delivery(json({ ...plain, data_base64: "not base64!" }))), /^InvalidEnvelope: data_base64: expected base64/);
  });

  test("arrives as bytes when the body is the data and its content type says something else", () => {
    const headers = { "cloudEvents:id": "e-1", "cloudEvents:type": "T", "cloudEvents:source": "/shop" };
    assert.deepEqual(eventOf(delivery(bytes, headers, "image/png")).payload, bytes);
    assert.deepEqual(eventOf(delivery(json({ a: 1 }), headers)).payload, { a: 1 });
  });
});

describe("an Event Grid event", () => {
  const expected = {
    eventId: eventGridEvent["id"],
    eventType: "Microsoft.Storage.BlobCreated",
    traceId: eventGridEvent["id"],
    correlationId: eventGridEvent["id"],
    projectId: "default",
    originatingAgent: eventGridEvent["topic"],
    version: "1.0",
    timestamp: "2024-05-01T12:00:00.9584103Z",
    payload: eventGridEvent["data"],
  };

  test("is read, alone and in a list of one", () => {
    for (const type of [undefined, "application/json"]) {
      assert.deepEqual(eventOf(delivery(json(eventGridEvent), {}, type)), expected);
      assert.deepEqual(eventOf(delivery(json([eventGridEvent]), {}, type)), expected);
    }
  });

  test("has the version that its dataVersion stands for", () => {
    const versions = { "": "1.0", "1": "1.0", "2": "2.0", "2.1": "2.1", "2.1.7": "2.1" };
    for (const [dataVersion, version] of Object.entries(versions)) assert.equal(eventOf(delivery(json({ ...eventGridEvent, dataVersion }))).version, version);
    assert.equal(eventOf(delivery(json({ ...eventGridEvent, dataVersion: undefined }))).version, "1.0");
    assert.match(
      refusal(delivery(json({ ...eventGridEvent, dataVersion: "2020-08-01" }))),
      /^InvalidEnvelope: dataVersion: expected a string 'major.minor' of digits/,
    );
  });

  test("is refused in a list of several, and where the configuration demands what it cannot carry", () => {
    assert.match(refusal(delivery(json([eventGridEvent, eventGridEvent]))), /^InvalidEnvelope: body: expected one event \(send each as a message of its own\)/);
    assert.match(refusal(delivery(json([{ ...expected }]))), /^InvalidEnvelope: body: expected an object, got a list$/);
    assert.match(refusal(delivery(json({ ...eventGridEvent, dataVersion: "1" })), [], demanding), /^InvalidEnvelope: traceId: /);
  });

  test("without data has the payload null", () => {
    assert.equal(eventOf(delivery(json({ ...eventGridEvent, data: undefined }))).payload, null);
  });
});

describe("integers of msgpack", () => {
  const numbers = { least: -(2n ** 63n), most: 2n ** 64n - 1n, past: 2n ** 53n + 1n, last: 2 ** 53, small: -5, share: 0.5 };

  test("arrive as bigint beyond 2^53, and as numbers up to there", () => {
    const body = Uint8Array.from(
      pack({
        eventId: "e",
        eventType: "T",
        version: "1.0",
        traceId: "t",
        correlationId: "c",
        projectId: "p",
        originatingAgent: "a",
        timestamp: "2024-05-01T12:00:00Z",
        payload: { ...numbers, last: 2n ** 53n },
      }),
    );
    assert.deepEqual(eventOf(delivery(body)).payload, numbers);
  });
});

const massTransit: EnvelopeHook = {
  name: "masstransit",
  read(message) {
    const types = message.field("messageType");
    if (!Array.isArray(types)) return undefined;
    const host = message.field("host") as { readonly assembly?: string } | undefined;
    return {
      eventId: String(message.field("messageId")),
      eventType: String(types[0]).replace("urn:message:", "").replace(":", "."),
      correlationId: (message.field("conversationId") ?? undefined) as string | undefined,
      originatingAgent: host?.assembly,
      timestamp: (message.field("sentTime") ?? undefined) as string | undefined,
      payload: "message",
    };
  },
};

const nServiceBus: EnvelopeHook = {
  name: "nservicebus",
  read(message) {
    const types = message.header("NServiceBus.EnclosedMessageTypes");
    if (typeof types !== "string") return undefined;
    const text = (name: string): string | undefined => message.header(`NServiceBus.${name}`)?.toString();
    return {
      eventId: text("MessageId") ?? message.messageId,
      eventType: types.split(/[,;]/)[0] ?? "",
      correlationId: text("ConversationId"),
      causationId: text("RelatedTo"),
      originatingAgent: text("OriginatingEndpoint"),
      timestamp: text("TimeSent")?.replace(/^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d):(\d+) Z$/, "$1T$2.$3Z"),
    };
  },
};

const own: EnvelopeHook = {
  name: "own",
  read: (message) =>
    message.header("x-kind") === undefined
      ? undefined
      : {
          eventId: String(message.header("x-id")),
          eventType: String(message.header("x-kind")),
          version: "3.0",
          codec: "bytes",
          projectId: "legacy",
          timestamp: new Date(0),
        },
};

describe("an envelope hook", () => {
  const hooks = [massTransit, nServiceBus, own];

  test("reads MassTransit's envelope", () => {
    const body = {
      messageId: "181c0000-6393-3630-36a4-08daf4e7c6da",
      requestId: null,
      conversationId: "c-9",
      sourceAddress: "sb://x/shop",
      messageType: ["urn:message:Shop.Contracts:OrderPlaced", "urn:message:Shop.Contracts:Event"],
      message: { orderId: 7 },
      sentTime: "2024-05-01T12:00:00.5Z",
      headers: { "MT-Activity-Id": traceparent },
      host: { machineName: "m", assembly: "Shop" },
    };
    const expected = {
      eventId: body.messageId,
      eventType: "Shop.Contracts.OrderPlaced",
      traceId: "c-9",
      correlationId: "c-9",
      projectId: "default",
      originatingAgent: "Shop",
      version: "1.0",
      timestamp: body.sentTime,
      payload: { orderId: 7 },
    };
    assert.deepEqual(eventOf(delivery(json(body), {}, "application/vnd.masstransit+json"), hooks), expected);
    assert.deepEqual(eventOf(delivery(msgpack(body), {}, "application/vnd.masstransit+msgpack"), hooks), expected);
  });

  test("reads NServiceBus' headers, the body being the payload", () => {
    const headers = {
      "NServiceBus.MessageId": "m-1",
      "NServiceBus.EnclosedMessageTypes": "Shop.OrderPlaced, Shop.Messages, Version=1.0.0.0, Culture=neutral, PublicKeyToken=null",
      "NServiceBus.ContentType": "application/json",
      "NServiceBus.ConversationId": "c-1",
      "NServiceBus.RelatedTo": "m-0",
      "NServiceBus.OriginatingEndpoint": "Sales",
      "NServiceBus.TimeSent": "2024-05-01 12:00:00:123456 Z",
    };
    assert.deepEqual(eventOf(delivery(Buffer.from('\uFEFF{"OrderId":7}'), headers, "application/json"), hooks), {
      eventId: "m-1",
      eventType: "Shop.OrderPlaced",
      traceId: "c-1",
      correlationId: "c-1",
      projectId: "default",
      originatingAgent: "Sales",
      version: "1.0",
      timestamp: "2024-05-01T12:00:00.123456Z",
      causationId: "m-0",
      payload: { OrderId: 7 },
    });
  });

  test("reads a home-made envelope, its body handed over as bytes, with defaults for the rest", () => {
    const event = eventOf(delivery(Uint8Array.of(0, 1, 2), { "x-id": "e", "x-kind": "Legacy" }), hooks);
    assert.deepEqual(event, {
      eventId: "e",
      eventType: "Legacy",
      traceId: "e",
      correlationId: "e",
      projectId: "legacy",
      originatingAgent: "own",
      version: "3.0",
      timestamp: "1970-01-01T00:00:00.000Z",
      payload: Uint8Array.of(0, 1, 2),
    });
    const undated: EnvelopeHook = { name: "undated", read: () => ({ eventId: "e", eventType: "T" }) };
    assert.equal(eventOf(delivery(json(1)), [undated]).timestamp, "2024-05-01T09:00:00.000Z");
    assert.equal(decode(delivery(json(1)), [undated], demanding).ok, false);
  });

  test("leaves messages that are not of its form to the built-in ones", () => {
    assert.deepEqual(eventOf(delivery(json({ ...plain, data: 1 })), hooks), { ...filled, payload: 1 });
  });

  test("that throws or answers nonsense ends that message in words, and no other", () => {
    const answers: readonly (readonly [unknown, RegExp])[] = [
      [new TypeError("boom pwd=x"), /it threw: boom pwd=\[redacted\]$/],
      [null, /expected fields or undefined, got null$/],
      ["e", /expected fields or undefined, got another string$/],
      [Promise.reject(new Error("late")), /expected fields or undefined, got a promise$/],
      [{}, /eventId: expected a string of 1 to 128 .* got nothing$/],
      [{ eventId: ["a"], eventType: "T" }, /eventId: .* got a list$/],
      [{ eventId: "e", eventType: "a b" }, /eventType: .* got another string$/],
      [{ eventId: "e", eventType: "T", version: 1 }, /version: .* got a number$/],
      [{ eventId: "e", eventType: "T", projectId: {} }, /projectId: .* got an object$/],
      [{ eventId: "e", eventType: "T", timestamp: new Date(Number.NaN) }, /timestamp: expected a time that exists/],
      [{ eventId: "e", eventType: "T", codec: "xml" }, /codec: expected 'json', 'msgpack' or 'bytes'/],
      [{ eventId: "e", eventType: "T", codec: "bytes", payload: "p" }, /payload: expected no key/],
    ];
    for (const [answer, expected] of answers) {
      const hook: EnvelopeHook = {
        name: "odd",
        read: (message) => {
          if (message.header("odd") === undefined) return undefined;
          if (answer instanceof Error) throw answer;
          return answer as { eventId: string; eventType: string };
        },
      };
      const said = refusal(delivery(json({ ...plain }), { odd: true }), [hook]);
      assert.match(said, /^InvalidEnvelope: envelope hook 'odd': /);
      assert.match(said, expected);
      assert.deepEqual(eventOf(delivery(json(plain)), [hook]), { ...filled, payload: null });
    }
    const missing: EnvelopeHook = { name: "missing", read: () => ({ eventId: "e", eventType: "T", payload: "toString" }) };
    assert.match(refusal(delivery(json({ a: 1 })), [missing]), /^InvalidEnvelope: toString: expected the payload/);
    const greedy: EnvelopeHook = { name: "greedy", read: (message) => ({ eventId: String(message.field("big")), eventType: "T" }) };
    assert.match(refusal(delivery(json({ big: "x".repeat(5_000) })), [greedy]), /field 'big' to take at most 4096 bytes, found 5002/);
  });
});
