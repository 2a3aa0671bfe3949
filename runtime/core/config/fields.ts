// Fields that several parts of the configuration share.
import { z } from "zod";
import type { Limits } from "../policy-limits.ts";

/** `missing`: what is expected where there is nothing. */
export function entityNameOr(missing: string | undefined): z.ZodString {
  return z
    .string({ error: ({ input }) => (input === undefined ? missing : undefined) })
    .regex(/^[A-Za-z0-9]$|^[A-Za-z0-9][\w\-./]*[A-Za-z0-9]$/, "expected the name of a queue, topic or subscription");
}

export const entityName: z.ZodString = entityNameOr(undefined);
export const integer = (min: number, max: number): z.ZodInt => z.int().min(min).max(max);

/** A field for each number that has limits. */
export function numbers<const Key extends string>(limits: Readonly<Record<Key, Limits>>): Record<Key, z.ZodNumber> {
  const fields = Object.entries<Limits>(limits).map(([key, { min, max, isFraction }]) => {
    return [key, isFraction === true ? z.number().min(min).max(max) : integer(min, max)] as const;
  });
  return Object.fromEntries(fields) as Record<Key, z.ZodNumber>;
}

export const hourMs: number = 3_600_000;
export const dayMs: number = 24 * hourMs;

const valuesByName = new WeakMap<object, z.ZodType>();

/** What the values of a `byName` have to be; undefined for any other schema. */
export function valuesOf(schema: object): z.ZodType | undefined {
  return valuesByName.get(schema);
}

/** An object with any names as its keys, as a map. */
export function byName<Output, Input>(value: z.ZodType<Output, Input>): z.ZodType<ReadonlyMap<string, Output>, Readonly<Record<string, Input>>> {
  const entries = z.transform((input: Readonly<Record<string, Input>>, context): Map<string, Input> => {
    if (typeof input === "object" && input !== null && !Array.isArray(input)) return new Map(Object.entries(input));
    context.issues.push({ code: "custom", message: "expected an object", input });
    return z.NEVER;
  });
  const schema = z.pipe(entries, z.map(z.string(), value));
  valuesByName.set(schema, value);
  return schema;
}
