// Where run records are kept.
import { z } from "zod";
import { integer } from "./fields.ts";

export type StoreConfig =
  | {
      readonly kind: "sqlite";
      /** A file, relative to the configuration's folder, or `:memory:`. */
      readonly path: string;
    }
  | {
      readonly kind: "redis";
      /** `redis://…` or `rediss://…`; with `cluster`, of any of its nodes. */
      readonly url: string;
      /** Redis Cluster, or a service with its protocol; default false. */
      readonly cluster?: boolean | undefined;
      /** Over how many hash tags the records are spread, so that each shard of a cluster has its share: 1 to 256, default 1, with `cluster` 12. It stays as it is while there are records. */
      readonly hashTags?: number | undefined;
      /** 1 to 64 characters of `A-Z a-z 0-9 : _ -`; default `holdfast`. */
      readonly prefix?: string | undefined;
      /** 50 to 60 000, default 2 000. */
      readonly commandTimeoutMs?: number | undefined;
    };

export const storeSchema: z.ZodType<StoreConfig, StoreConfig> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("sqlite"), path: z.string().min(1) }),
  z.strictObject({
    kind: z.literal("redis"),
    url: z.string().regex(/^rediss?:\/\//, "expected redis://… or rediss://…"),
    cluster: z.boolean().optional(),
    hashTags: integer(1, 256).optional(),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9:_-]{1,64}$/, "expected 1 to 64 characters of A-Z a-z 0-9 : _ -")
      .optional(),
    commandTimeoutMs: integer(50, 60_000).optional(),
  }),
]);
