// What is read.
import { z } from "zod";
import { entityName, entityNameOr, integer } from "./fields.ts";
import { type SessionsConfig, type SessionsSettings, sessionsSchema } from "./sessions.ts";

/** Where messages come from: a queue, or a subscription with a private queue for the copies of messages to retry. */
export type SourcePlace =
  | { readonly queue: string }
  | {
      readonly topic: string;
      readonly subscription: string;
      /** Copies of messages to retry go here, read by the worker too; sent to the topic they would reach every subscriber. It must exist. */
      readonly retryQueue: string;
    };

export interface SourceTraits {
  /** What logs, commands and the account call it: 1 to 64 characters of `A-Z a-z 0-9 . _ / -`. Default: the queue, or `TOPIC/SUBSCRIPTION`. */
  readonly name?: string | undefined;
  /** Its share of the threads beside those of other sources of its priority, when all threads are busy, counted in the time that runs take. 0.01 to 1 000, default 1. */
  readonly weight?: number | undefined;
  /** The greater goes first; a tenth of the time is left to lower ones. 0 to 100, default 0. */
  readonly priority?: number | undefined;
  /** Names of the skills that may come from it; events of others are dead-lettered as `Unrouted`. Default: all. */
  readonly skills?: readonly string[] | undefined;
  /** As the worker's own `deliveriesMax`, of this source. 1 to 2 000. */
  readonly deliveriesMax?: number | undefined;
}

export type SourceConfig = SourcePlace &
  SourceTraits & {
    /** For an entity that requires sessions, and for no other. */
    readonly sessions?: SessionsConfig | undefined;
  };

/** With what is left out filled in. */
export type SourceSettings = SourcePlace & SourceTraits & { readonly name: string; readonly sessions?: SessionsSettings | undefined };

export const sourcesMax = 100;

const traits = {
  name: z
    .string()
    .regex(/^[A-Za-z0-9][\w./-]{0,63}$/, "expected a name of 1 to 64 characters of A-Z a-z 0-9 . _ / - beginning with a letter or a digit")
    .optional(),
  weight: z.number().min(0.01).max(1_000).optional(),
  priority: integer(0, 100).optional(),
  skills: z.array(z.string().min(1)).min(1).optional(),
  deliveriesMax: integer(1, 2_000).optional(),
  sessions: sessionsSchema.optional(),
};

const retryQueue = entityNameOr(
  "expected a queue for the copies of messages to retry, which the topic would send to every subscriber; make one for this subscription and write retryQueue: 'ITS-NAME'",
);

const sourceSchema: z.ZodType<SourceSettings, SourceConfig> = z
  .union([z.strictObject({ queue: entityName, ...traits }), z.strictObject({ topic: entityName, subscription: entityName, retryQueue, ...traits })])
  .transform((source) => ({ ...source, name: source.name ?? consumerName(source) }));

/** Two that read the same would take each other's messages, and two of one name could not be told apart. */
export const sourcesSchema: z.ZodType<readonly SourceSettings[], readonly SourceConfig[]> = z
  .array(sourceSchema)
  .min(1)
  .max(sourcesMax)
  .superRefine((sources, context) => {
    const refuse = (path: (string | number)[], message: string): void => context.addIssue({ code: "custom", path, message });
    const names = new Map<string, number>();
    const readers = new Map<string, Reader>();
    sources.forEach((source, index) => {
      const places = placesOf(source);
      const taken = places.find(({ place }) => readers.has(place));
      const twin = names.get(source.name);
      // Of two that read the same, and have no names but for that, the name is no mistake of its own.
      const isNamed = taken === undefined || source.name !== consumerName(source);
      if (twin === undefined) names.set(source.name, index);
      else if (isNamed) refuse([index, "name"], `expected another name than '${source.name}', which sources.${twin} has`);
      if (taken !== undefined) refuse(taken.isRetryQueue ? [index, "retryQueue"] : [index], otherThan(readers.get(taken.place)));
      for (const { place, isRetryQueue } of places) if (!readers.has(place)) readers.set(place, { index, isRetryQueue });
    });
  });

interface Reader {
  readonly index: number;
  readonly isRetryQueue: boolean;
}

function otherThan(reader: Reader | undefined): string {
  if (reader?.isRetryQueue !== true) return `expected something that sources.${reader?.index ?? 0} does not read`;
  return `expected something other than the retryQueue of sources.${reader.index}, which is read already, as a part of that source`;
}

function placesOf(source: SourcePlace): readonly { readonly place: string; readonly isRetryQueue: boolean }[] {
  if ("queue" in source) return [{ place: source.queue.toLowerCase(), isRetryQueue: false }];
  return [
    { place: `${source.topic}/${source.subscription}`.toLowerCase(), isRetryQueue: false },
    { place: source.retryQueue.toLowerCase(), isRetryQueue: true },
  ];
}

/** Where scheduled copies are sent. */
export function retryEntityOf(source: SourcePlace): string {
  return "queue" in source ? source.queue : source.retryQueue;
}

/** The name under which its runs are kept, part of the keys of records and effects. It has to stay as it is. */
export function consumerName(source: SourcePlace): string {
  return "queue" in source ? source.queue : `${source.topic}/${source.subscription}`;
}

/** What belongs to the worker as a whole, such as its side jobs, lies with its first source. */
export function firstSource({ sources }: { readonly sources: readonly SourceSettings[] }): SourceSettings {
  const [source] = sources;
  if (source === undefined) throw new TypeError("expected a checked configuration, got one without a source");
  return source;
}

/** The old key's value, as it is written now. */
export function refuseConsumer(input: unknown): string | undefined {
  if (typeof input !== "object" || input === null || !Object.hasOwn(input, "consumer")) return undefined;
  const { consumer } = input as { readonly consumer: unknown };
  return `consumer: unknown key; write \`sources: [${JSON.stringify(consumer) ?? "…"}]\` in its place`;
}

/** Whose it is, of what belongs to the whole worker; undefined for its first source, whose name need not be said. */
export function consumerBeside(source: SourcePlace, whole: { readonly sources: readonly SourceSettings[] }): string | undefined {
  const consumer = consumerName(source);
  return consumer === consumerName(firstSource(whole)) ? undefined : consumer;
}
