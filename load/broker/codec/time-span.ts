// .NET's time spans, which AMQP has no type for: a described count of ticks.
import type { Described } from "#runtime/amqp/codec/types.ts";

export const timeSpan = "com.microsoft:timespan";

/** Milliseconds of a time span; undefined when the value is something else. */
export function timeSpanMs({ descriptor, value }: Described): number | undefined {
  return descriptor === timeSpan && (typeof value === "number" || typeof value === "bigint") ? Number(value) / 10_000 : undefined;
}
