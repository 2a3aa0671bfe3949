// What a rule's action makes of a message. Its statements follow one another: each sees what those before it have set.
import { encode } from "#runtime/amqp/codec/encode.ts";
import { long, Typed } from "#runtime/amqp/codec/types.ts";
import { Double } from "../codec/encoded.ts";
import { type PropertyField, withFields } from "../codec/message-fields.ts";
import type { MessageContent } from "../entities/message.ts";
import type { MessageView } from "./message-view.ts";
import type { Property, Statement, Value } from "./sql-ast.ts";
import { describe, evaluate, FilterEvaluationError, type FilterView, textOf } from "./sql-evaluate.ts";
import { type SystemProperty, systemProperties } from "./system-properties.ts";

/** @throws FilterEvaluationError when a value cannot be computed */
export function applyAction(content: MessageContent, statements: readonly Statement[], view: MessageView): MessageContent {
  const draft = new Draft(content, view);
  for (const statement of statements) draft.set(statement.property, statement.kind === "set" ? evaluate(statement.value, draft) : undefined);
  return draft.finish();
}

class Draft implements FilterView {
  readonly #content: MessageContent;
  readonly #view: MessageView;
  readonly #fields = new Map<PropertyField, string | undefined>();
  readonly #properties = new Map<string, Value>();
  #timeToLiveMs: number | undefined;

  constructor(content: MessageContent, view: MessageView) {
    this.#content = content;
    this.#view = view;
    this.#timeToLiveMs = content.timeToLiveMs;
  }

  valueOf(property: Property): Value {
    const system = systemOf(property);
    if (system === "timeToLive") return this.#timeToLiveMs;
    if (system !== undefined) return isField(system) && this.#fields.has(system) ? this.#fields.get(system) : this.#view.system(system);
    const name = this.#nameOf(property.name);
    return this.#properties.has(name) ? this.#properties.get(name) : this.#view.user(name);
  }

  /** @param value undefined takes the property away */
  set(property: Property, value: Value): void {
    const system = systemOf(property);
    if (system === undefined) this.#properties.set(this.#nameOf(property.name), value === undefined ? undefined : likened(value, this.valueOf(property)));
    else if (system === "timeToLive") this.#timeToLiveMs = value === undefined ? undefined : lifeOf(value);
    else if (system === "messageId" && value === undefined) this.#fields.delete(system);
    else if (isField(system)) this.#fields.set(system, value === undefined ? undefined : textOf(value));
  }

  finish(): MessageContent {
    const applicationProperties = new Map([...this.#properties].map(([name, value]) => [name, value === undefined ? undefined : encodeValue(value)]));
    return { ...withFields(this.#content, { properties: this.#fields, applicationProperties }), timeToLiveMs: this.#timeToLiveMs };
  }

  /** Names differ by more than case: the one that is there is meant. */
  #nameOf(name: string): string {
    const lower = name.toLowerCase();
    for (const known of this.#properties.keys()) if (known.toLowerCase() === lower) return known;
    return this.#view.nameOf(name);
  }
}

function systemOf({ scope, name }: Property): SystemProperty | undefined {
  return scope === "sys" ? systemProperties.get(name.toLowerCase()) : undefined;
}

function isField(property: SystemProperty): property is PropertyField {
  return !["timeToLive", "scheduledEnqueueTime", "enqueuedTime", "sequenceNumber", "deliveryCount", "partitionKey"].includes(property);
}

/** Whole milliseconds that a message lives, however they were computed. */
function lifeOf(value: NonNullable<Value>): number {
  const ms = value instanceof Double ? value.value : typeof value === "bigint" ? Number(value) : value;
  if (typeof ms !== "number" || Number.isNaN(ms)) throw new FilterEvaluationError(`expected milliseconds for sys.TimeToLive, found ${describe(value)}`);
  return Math.max(1, Math.floor(ms));
}

/** A value as one of the type that the property has had, where it can be one. */
function likened(value: NonNullable<Value>, before: Value): NonNullable<Value> {
  if (typeof before === "string") return textOf(value);
  if (before instanceof Double && (typeof value === "number" || typeof value === "bigint")) return new Double(Number(value));
  if (typeof value !== "string") return value;
  if (typeof before === "boolean") return /^(true|false)$/i.test(value) ? value.toLowerCase() === "true" : value;
  const number = value.trim() === "" ? NaN : Number(value);
  if (before instanceof Double && !Number.isNaN(number)) return new Double(number);
  return (typeof before === "number" || typeof before === "bigint") && Number.isSafeInteger(number) ? number : value;
}

/** Whole numbers are longs, as those of the filter language are; beyond that they can only be told as text. */
function encodeValue(value: NonNullable<Value>): Buffer {
  if (value instanceof Double) return encode(new Typed("double", value.value));
  if (typeof value === "bigint") return encode(BigInt.asIntN(64, value) === value ? value : value.toString());
  return encode(typeof value === "number" && Number.isSafeInteger(value) ? long(value) : value);
}
