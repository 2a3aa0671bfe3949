// What events are about: the example webhook payloads of @octokit/webhooks-examples, in the shape that each built-in skill
// takes, encoded once. The example is the last field of every payload, so that a body is an envelope's head, a payload's
// head, the example's bytes and some closing braces: made by copying, without encoding ten kilobytes a message again.
import { createRequire } from "node:module";
import { Packr } from "msgpackr";

export type SkillName = "event-dispatcher" | "artifact-validator" | "webhook-notifier" | "document-drafter";

export const eventTypes: Readonly<Record<SkillName, string>> = {
  "event-dispatcher": "RepositoryEventReceived",
  "artifact-validator": "ArtifactSubmitted",
  "webhook-notifier": "NotificationRequested",
  "document-drafter": "DocumentRequested",
};

/** How many effects one event of each skill has on each stand-in, when it completes and nothing fails. */
export const effectsPerEvent: Readonly<Record<SkillName, { readonly notifier: number; readonly model: number; readonly library: number }>> = {
  "event-dispatcher": { notifier: 0, model: 0, library: 0 },
  "artifact-validator": { notifier: 0, model: 0, library: 0 },
  "webhook-notifier": { notifier: 1, model: 0, library: 0 },
  "document-drafter": { notifier: 0, model: 4, library: 1 },
};

/** A payload as encoded pieces; whatever closes it is the tail. */
export interface EncodedPayload {
  readonly head: Buffer;
  readonly example: Buffer;
  readonly tail: Buffer;
}

interface Example {
  readonly name: string;
  readonly event: Readonly<Record<string, unknown>>;
  readonly json: Buffer;
  packed: Buffer | undefined;
}

const packr = new Packr({ useRecords: false, moreTypes: false });
/** Stands for a value that is put in later; a string of one character takes two bytes. */
const slot = "@";
const slotBytes = 2;
const titleCharactersMax = 200;
const noBytes = Buffer.alloc(0);

export function pack(value: unknown): Buffer {
  return Buffer.from(packr.pack(value));
}

/** The msgpack head of a map whose last field's value is left out, to be put behind it. */
export function packHead(withSlot: Readonly<Record<string, unknown>>, lastField: string): Buffer {
  const packed = pack({ ...withSlot, [lastField]: slot });
  return packed.subarray(0, packed.length - slotBytes);
}

function textAt(event: Example["event"], ...path: readonly string[]): string | undefined {
  let value: unknown = event;
  for (const name of path) value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  return typeof value === "string" && value !== "" ? value : undefined;
}

function titleOf({ name, event }: Example): string {
  const what =
    textAt(event, "issue", "title") ??
    textAt(event, "pull_request", "title") ??
    textAt(event, "release", "name") ??
    textAt(event, "repository", "full_name") ??
    "the organization";
  const action = textAt(event, "action");
  return `${name}${action === undefined ? "" : ` ${action}`}: ${what}`.slice(0, titleCharactersMax);
}

/** A payload without its example, and the field, at most one level down, where the example belongs. */
interface Shape {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly inAbout: boolean;
  readonly lastField: "event" | "artifact";
}

export class Material {
  readonly #examples: readonly Example[];
  readonly #schemaNames: ReadonlySet<string>;
  /** Payloads by codec and skill, each in the place of its example. */
  readonly #encoded = new Map<string, (EncodedPayload | undefined)[]>();

  /** `payloadBytesMax` leaves larger examples out; the smallest is under 1 KB, the largest 27 KB. */
  constructor(payloadBytesMax: number) {
    const require = createRequire(import.meta.url);
    const groups = require("@octokit/webhooks-examples") as readonly { readonly name: string; readonly examples: readonly Example["event"][] }[];
    this.#examples = groups
      .flatMap(({ name, examples }) => examples.map((event) => ({ name, event, json: Buffer.from(JSON.stringify(event)), packed: undefined })))
      .filter(({ json }) => json.length <= payloadBytesMax);
    if (this.#examples.length < 2) throw new RangeError(`expected payloadBytesMax to let two examples through, got ${payloadBytesMax}`);
    const { definitions } = require("@octokit/webhooks-schemas") as { readonly definitions: object };
    this.#schemaNames = new Set(Object.keys(definitions));
  }

  get size(): number {
    return this.#examples.length;
  }

  /** The number of the next example that differs from this one: some come twice. */
  otherThan(number: number): number {
    for (let step = 1; step < this.size; step++) {
      const other = (number + step) % this.size;
      if (this.#examples[other]?.json.equals(this.#examples[number]?.json ?? noBytes) === false) return other;
    }
    throw new RangeError("expected examples that differ; raise payloadBytesMax");
  }

  json(skill: SkillName, number: number): EncodedPayload {
    return this.#encode(skill, number, "json");
  }

  msgpack(skill: SkillName, number: number): EncodedPayload {
    return this.#encode(skill, number, "msgpack");
  }

  #encode(skill: SkillName, number: number, codec: "json" | "msgpack"): EncodedPayload {
    const key = `${codec} ${skill}`;
    let payloads = this.#encoded.get(key);
    if (payloads === undefined) {
      payloads = this.#examples.map(() => undefined);
      this.#encoded.set(key, payloads);
    }
    const known = payloads[number];
    if (known !== undefined) return known;
    const example = this.#examples[number];
    if (example === undefined) throw new RangeError(`expected the number of an example below ${this.size}, got ${number}`);
    const shape = this.#shapeOf(skill, example, number);
    const encoded = codec === "json" ? encodeJson(shape, example) : encodeMsgpack(shape, example);
    payloads[number] = encoded;
    return encoded;
  }

  #shapeOf(skill: SkillName, example: Example, number: number): Shape {
    const { name, event } = example;
    const title = titleOf(example);
    switch (skill) {
      case "event-dispatcher":
        return { fields: { name }, inAbout: false, lastField: "event" };
      case "artifact-validator": {
        const withAction = `${name}$${String(event["action"])}`;
        const schema = this.#schemaNames.has(withAction) ? withAction : `${name}$event`;
        return { fields: { artifactId: `example-${number}`, schema }, inAbout: false, lastField: "artifact" };
      }
      case "webhook-notifier": {
        const link = textAt(event, "repository", "html_url");
        const text = `${title}, by ${textAt(event, "sender", "login") ?? "somebody"}`;
        return {
          fields: { channel: name.replaceAll("_", "-"), title, text, ...(link === undefined ? {} : { link }), about: { name } },
          inAbout: true,
          lastField: "event",
        };
      }
      case "document-drafter":
        return { fields: { title, audience: number % 2 === 0 ? "engineers" : "customers", about: { name } }, inAbout: true, lastField: "event" };
    }
  }
}

function encodeJson({ fields, inAbout, lastField }: Shape, example: Example): EncodedPayload {
  const closing = inAbout ? "}}" : "}";
  const open = JSON.stringify(fields).slice(0, -closing.length);
  return { head: Buffer.from(`${open},"${lastField}":`), example: example.json, tail: Buffer.from(closing) };
}

function encodeMsgpack({ fields, inAbout, lastField }: Shape, example: Example): EncodedPayload {
  example.packed ??= pack(example.event);
  const { about, ...others } = fields;
  const head = inAbout ? Buffer.concat([packHead(others, "about"), packHead(about as Record<string, unknown>, lastField)]) : packHead(fields, lastField);
  return { head, example: example.packed, tail: noBytes };
}
