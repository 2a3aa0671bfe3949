// AMQP values for people and JSON.
import { type AmqpValue, Described, Uuid } from "./reader.ts";

/** An AMQP value as JSON can hold it: binary as base64, times as ISO 8601, lists and maps as JSON text. */
export function plain(value: AmqpValue): string | number | boolean | null {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (Buffer.isBuffer(value)) return value.toString("base64");
  if (value instanceof Described) return plain(value.value);
  if (typeof value === "bigint" || value instanceof Uuid) return value.toString();
  return JSON.stringify(Array.isArray(value) ? value.map(plain) : [...value].map(([key, item]) => [plain(key), plain(item)]));
}
