// Where run records are kept.
import { z } from "zod";
import type { SecretText } from "../secret.ts";
import { integer } from "./fields.ts";
import { secret, type SecretInput } from "./secrets.ts";

export type StoreConfig = SqliteStoreConfig | RedisStoreConfig<SecretInput>;
/** Checked. */
export type StoreSettings = SqliteStoreConfig | RedisStoreSettings;
export type RedisStoreSettings = RedisStoreConfig<SecretText>;

interface SqliteStoreConfig {
  readonly kind: "sqlite";
  /** A file, relative to the configuration's folder, or `:memory:`. */
  readonly path: string;
  /** How long steps of a run that is done stay readable. 1 000 or more, at most `retentionMs`; default a day. */
  readonly detailsMs?: number | undefined;
}

interface RedisStoreConfig<SecretValue> {
  readonly kind: "redis";
  /** `redis://…` or `rediss://…`; with `cluster`, of any of its nodes; with `sentinel`, of any sentinel, with the credentials of the master. */
  readonly url: SecretValue;
  /** In place of the one in `url`. A new value is used by connections that are made from then on. */
  readonly password?: SecretValue | undefined;
  /** Redis Cluster, or a service with its protocol; default false. */
  readonly cluster?: boolean | undefined;
  /** `HOST:PORT` of further nodes of the cluster, or sentinels, to ask where the URL's does not answer. */
  readonly nodes?: readonly string[] | undefined;
  /** Sentinels name the server: the master that they know by this name. */
  readonly sentinel?: { readonly master: string; readonly password?: SecretValue | undefined } | undefined;
  /** PEM file of the authorities that `rediss` trusts in place of the public ones, relative to the configuration's folder. */
  readonly caFile?: string | undefined;
  /** Log in with Entra ID tokens of the workload's identity in place of a password; needs `rediss`. Default false. */
  readonly entraId?: boolean | undefined;
  /** Over how many hash tags the records are spread, so that each shard of a cluster has its share: 1 to 256, default 1, with `cluster` 12. It stays as it is while there are records. */
  readonly hashTags?: number | undefined;
  /** 1 to 64 characters of `A-Z a-z 0-9 : _ -`; default `holdfast`. */
  readonly prefix?: string | undefined;
  /**
   * `compact` keeps a finished event in about 45 bytes, `plain` in 270. Records that are there stay as they are laid out until it says `compact`,
   * once every worker of the pool knows that, and are compact from then on. Default: as they are, and `plain` where there are none yet: it costs Redis less.
   */
  readonly layout?: "plain" | "compact" | undefined;
  /** In the compact layout: how long steps of a run that is done stay readable. 1 000 or more, at most `retentionMs`; default a day. */
  readonly detailsMs?: number | undefined;
  /** 50 to 60 000, default 2 000. */
  readonly commandTimeoutMs?: number | undefined;
}

const node = z.string().regex(/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}$/, "expected HOST:PORT");

/** Of one that lies elsewhere that is not known yet. */
function isPlain(url: SecretText): boolean {
  return typeof url === "string" && !url.startsWith("rediss:");
}

export const storeSchema: z.ZodType<StoreSettings, StoreConfig> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("sqlite"), path: z.string().min(1), detailsMs: integer(1_000, Number.MAX_SAFE_INTEGER).optional() }),
  z
    .strictObject({
      kind: z.literal("redis"),
      url: secret(z.string().regex(/^rediss?:\/\//, "expected redis://… or rediss://…")),
      password: secret(z.string().min(1)).optional(),
      cluster: z.boolean().optional(),
      nodes: z.array(node).max(64).optional(),
      sentinel: z.strictObject({ master: z.string().min(1), password: secret(z.string().min(1)).optional() }).optional(),
      caFile: z.string().min(1).optional(),
      entraId: z.boolean().optional(),
      hashTags: integer(1, 256).optional(),
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9:_-]{1,64}$/, "expected 1 to 64 characters of A-Z a-z 0-9 : _ -")
        .optional(),
      layout: z.enum(["plain", "compact"]).optional(),
      detailsMs: integer(1_000, Number.MAX_SAFE_INTEGER).optional(),
      commandTimeoutMs: integer(50, 60_000).optional(),
    })
    .superRefine(({ url, cluster, sentinel, nodes, caFile, entraId }, context) => {
      const refuse = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message });
      if (cluster === true && sentinel !== undefined) refuse("sentinel", "expected either cluster or sentinel, got both");
      if (nodes !== undefined && cluster !== true && sentinel === undefined) refuse("nodes", "expected cluster or sentinel beside it, got neither");
      if (caFile !== undefined && isPlain(url)) refuse("caFile", "expected a URL with rediss:// beside it, got redis://");
      if (entraId === true && isPlain(url)) refuse("entraId", "expected a URL with rediss:// beside it, got redis://: a token is as good as a password");
    }),
]);
