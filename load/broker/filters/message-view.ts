// A message as filters see it. It is taken apart when the first filter asks, and once for all subscriptions of a topic.
import type { Plain } from "#runtime/amqp/types.ts";
import { decodedOrNull } from "../codec/encoded.ts";
import { MessageFields } from "../codec/message-fields.ts";
import { readable } from "../codec/readable.ts";
import type { Transfer } from "../entities/message.ts";
import type { Property, Value } from "./sql-ast.ts";
import type { FilterView } from "./sql-evaluate.ts";
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
    if (changed !== undefined) return typeof changed === "string" ? changed : simple(decodedOrNull(changed));
    const { applicationProperties } = this.#read();
    const exact = applicationProperties.get(name);
    if (exact !== undefined) return simple(exact);
    const lower = name.toLowerCase();
    for (const [other, value] of applicationProperties) if (other.toLowerCase() === lower) return simple(value);
    return undefined;
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
        return value === undefined ? undefined : String(value);
      }
    }
  }

  #read(): MessageFields {
    return (this.#fields ??= new MessageFields(this.#transfer.content));
  }
}

function simple(value: Plain): Value {
  if (value === null) return undefined;
  if (value instanceof Date || Buffer.isBuffer(value)) return value;
  return typeof value === "object" ? String(readable(value)) : value;
}
