// A message as filters see it. It is taken apart when the first filter asks, and once for all subscriptions of a topic.
import { Described, type Plain } from "#runtime/amqp/codec/types.ts";
import { Double, numericOrNull } from "../codec/encoded.ts";
import { MessageFields } from "../codec/message-fields.ts";
import { readable } from "../codec/readable.ts";
import { timeSpanMs } from "../codec/time-span.ts";
import type { Transfer } from "../entities/message.ts";
import type { Property, Value } from "./sql-ast.ts";
import { type FilterView, textOf } from "./sql-evaluate.ts";
import { type SystemProperty, systemProperties } from "./system-properties.ts";

export class MessageView implements FilterView {
  readonly #transfer: Transfer;
  readonly #enqueuedAtMs: number;
  #fields: MessageFields | undefined;

  constructor(transfer: Transfer, enqueuedAtMs: number) {
    this.#transfer = transfer;
    this.#enqueuedAtMs = enqueuedAtMs;
  }

  valueOf({ scope, name }: Property): Value {
    return scope === "user" ? this.user(name) : this.system(systemProperties.get(name.toLowerCase()));
  }

  /** An application property; when none has exactly this name, one whose name differs in case. */
  user(name: string): Value {
    const changed = this.#transfer.properties?.get(name);
    if (changed !== undefined) return typeof changed === "string" ? changed : simple(numericOrNull(changed));
    return simple(this.#read().applicationProperties.get(this.nameOf(name)) ?? null);
  }

  /** The name that the message itself has for an application property; the same when it has none. */
  nameOf(name: string): string {
    const { applicationProperties } = this.#read();
    if (applicationProperties.has(name)) return name;
    const lower = name.toLowerCase();
    for (const other of applicationProperties.keys()) if (other.toLowerCase() === lower) return other;
    return name;
  }

  system(property: SystemProperty | undefined): Value {
    const { content, enqueuedSequenceNumber } = this.#transfer;
    switch (property) {
      case undefined:
        return undefined;
      case "messageId":
        return content.messageId;
      case "sessionId":
        return content.sessionId;
      case "partitionKey":
        return content.partitionKey;
      case "timeToLive":
        return content.timeToLiveMs;
      case "scheduledEnqueueTime":
        return content.scheduledAtMs === undefined ? undefined : new Date(content.scheduledAtMs);
      case "enqueuedTime":
        return new Date(this.#enqueuedAtMs);
      case "sequenceNumber":
        return enqueuedSequenceNumber;
      case "deliveryCount":
        return 0;
      default: {
        const value = simple(this.#read().property(property));
        return value === undefined ? undefined : textOf(value);
      }
    }
  }

  #read(): MessageFields {
    return (this.#fields ??= new MessageFields(this.#transfer.content));
  }
}

function simple(value: Plain | Double): Value {
  if (value === null) return undefined;
  if (value instanceof Double) return value;
  if (value instanceof Date || Buffer.isBuffer(value)) return value;
  if (value instanceof Described) return timeSpanMs(value) ?? simple(value.value);
  return typeof value === "object" ? String(readable(value)) : value;
}
