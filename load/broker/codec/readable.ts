// AMQP values for people and JSON.
import { Described, type Plain, Typed } from "#runtime/amqp/codec/types.ts";

export type Readable = string | number | boolean | null;

/** A decoded value as JSON can hold it: binary as base64, times as ISO 8601, lists and maps as JSON text. */
export function readable(value: Plain): Readable {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return value.toString("base64");
  if (value instanceof Described) return readable(value.value);
  if (value instanceof Typed) return Buffer.from(value.value).toString("base64");
  return JSON.stringify(
    Array.isArray(value) ? value.map(readable) : [...(value as ReadonlyMap<Plain, Plain>)].map(([key, item]) => [readable(key), readable(item)]),
  );
}
