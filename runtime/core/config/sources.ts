// What is read.
import { z } from "zod";
import { entityName } from "./fields.ts";
import { type SessionsConfig, type SessionsSettings, sessionsSchema } from "./sessions.ts";

/** Where messages come from: a queue, or a subscription with a private queue for the copies of messages to retry. */
export type SourceConfig = ReadEntity & {
  /** For an entity that requires sessions, and for no other. */
  readonly sessions?: SessionsConfig | undefined;
};

/** The same with the defaults filled in. */
export type SourceSettings = ReadEntity & { readonly sessions?: SessionsSettings | undefined };

type ReadEntity =
  | { readonly queue: string }
  | {
      readonly topic: string;
      readonly subscription: string;
      /** Copies of messages to retry go here, read by the worker too; sent to the topic they would reach every subscriber. It must exist. */
      readonly retryQueue: string;
    };

const sessions = sessionsSchema.optional();
const sourceSchema: z.ZodType<SourceSettings, SourceConfig> = z.union([
  z.strictObject({ queue: entityName, sessions }),
  z.strictObject({ topic: entityName, subscription: entityName, retryQueue: entityName, sessions }),
]);

export const sourcesSchema: z.ZodType<readonly SourceSettings[], readonly SourceConfig[]> = z.array(sourceSchema).min(1).max(1);

/** Where scheduled copies are sent. */
export function retryEntityOf(source: SourceConfig): string {
  return "queue" in source ? source.queue : source.retryQueue;
}

/** The name under which its runs are kept, part of the keys of records and effects. It has to stay as it is. */
export function consumerName(source: SourceConfig): string {
  return "queue" in source ? source.queue : `${source.topic}/${source.subscription}`;
}

/** The old key's value, as it is written now. */
export function refuseConsumer(input: unknown): string | undefined {
  if (typeof input !== "object" || input === null || !Object.hasOwn(input, "consumer")) return undefined;
  const { consumer } = input as { readonly consumer: unknown };
  return `consumer: unknown key; write \`sources: [${JSON.stringify(consumer) ?? "…"}]\` in its place`;
}

export function soleSource({ sources }: { readonly sources: readonly SourceSettings[] }): SourceSettings {
  const [source] = sources;
  if (source === undefined) throw new TypeError("expected a checked configuration, got one without a source");
  return source;
}
