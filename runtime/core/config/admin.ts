// The admin server: probes, metrics, the API and the live page.
import { z } from "zod";
import { hourMs, integer } from "./fields.ts";

export const adminRoles = ["viewer", "operator", "admin"] as const;
/** Each may do what those before it may. */
export type AdminRole = (typeof adminRoles)[number];

export interface AdminConfig {
  /** 0 takes a free one, which the log tells. 0 to 65 535, default 9 470. */
  readonly port?: number | undefined;
  /** An address of this machine. Others than those of loopback need `auth`. Default `127.0.0.1`. */
  readonly host?: string | undefined;
  /** Who may do what, by OAuth2 bearer tokens. Default: everyone who reaches the server, which listens on loopback alone then. */
  readonly auth?: AdminAuthConfig | undefined;
  /** What is asked for where the pool's number of workers is decided; see `holdfast scale`. */
  readonly scaling?: ScalingConfig | undefined;
  /** Events of the worker's own that go the whole way and are measured; see `holdfast probe`. */
  readonly probes?: ProbesConfig | undefined;
  /** Changes that one caller may ask for in a minute; 1 to 10 000, default 60. */
  readonly changesPerMinute?: number | undefined;
}

export interface ScalingConfig {
  /** In what time the work that waits in the queues is to be done; 1 s to 1 h, default 60 000. */
  readonly drainWithinMs?: number | undefined;
  /** The part of what a worker could have under way that is to be used, the rest being for bursts; 0.1 to 1, default 0.8. */
  readonly useMax?: number | undefined;
}

export interface ProbesConfig {
  /** How often each source gets one; 5 s to 1 h. Default: only when somebody asks. */
  readonly everyMs?: number | undefined;
  /** How long one may take before it counts as lost; 1 s to 10 min, default 30 000. */
  readonly timeoutMs?: number | undefined;
  /** Send those of a subscription through its topic, where every other subscriber gets them too, in place of its retry queue. Default false. */
  readonly throughTopics?: boolean | undefined;
}

export interface ProbesSettings {
  readonly everyMs?: number | undefined;
  readonly timeoutMs: number;
  readonly throughTopics: boolean;
}

export interface AdminAuthConfig {
  /** Who issues the tokens, as their `iss` says. */
  readonly issuer: string;
  /** Whom the tokens are meant for, as their `aud` says. */
  readonly audience: string;
  /** Where the issuer's keys lie. Default: where its `/.well-known/openid-configuration` says. */
  readonly jwksUrl?: string | undefined;
  /** The claim that holds the caller's roles, a text or a list. Default `roles`. */
  readonly rolesClaim?: string | undefined;
  /** Values of that claim that make a viewer, an operator, an admin. Default `holdfast.viewer`, `holdfast.operator`, `holdfast.admin`. */
  readonly roles?:
    | { readonly viewer?: readonly string[] | undefined; readonly operator?: readonly string[] | undefined; readonly admin?: readonly string[] | undefined }
    | undefined;
  /** The claim that names the tenants whose events the caller may see and act on, a text or a list. Default: none, every caller acts for all. */
  readonly tenantsClaim?: string | undefined;
  /** Its value for who acts for all tenants, and for the worker itself. Default `*`. */
  readonly allTenants?: string | undefined;
  /** Whether metrics are given without a token. Default false. */
  readonly metricsAreOpen?: boolean | undefined;
}

export interface AdminAuthSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl?: string | undefined;
  readonly rolesClaim: string;
  readonly roles: Readonly<Record<AdminRole, readonly string[]>>;
  readonly tenantsClaim?: string | undefined;
  readonly allTenants: string;
  readonly metricsAreOpen: boolean;
}

export interface AdminSettings {
  readonly port: number;
  readonly host: string;
  readonly auth?: AdminAuthSettings | undefined;
  readonly scaling: { readonly drainWithinMs: number; readonly useMax: number };
  readonly probes: ProbesSettings;
  readonly changesPerMinute: number;
}

/** Whether only processes of this machine reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Tokens and keys go over TLS, but within one machine. */
const url = z
  .url({ protocol: /^https?$/ })
  .refine((text) => text.startsWith("https:") || isLoopback(new URL(text).hostname.replace(/^\[|\]$/g, "")), "expected https");
const valuesOf = (role: AdminRole) =>
  z
    .array(z.string().min(1))
    .min(1)
    .default([`holdfast.${role}`]);

const authSchema = z.strictObject({
  issuer: url,
  audience: z.string().min(1),
  jwksUrl: url.optional(),
  rolesClaim: z.string().min(1).default("roles"),
  roles: z.strictObject({ viewer: valuesOf("viewer"), operator: valuesOf("operator"), admin: valuesOf("admin") }).prefault({}),
  tenantsClaim: z.string().min(1).optional(),
  allTenants: z.string().min(1).default("*"),
  metricsAreOpen: z.boolean().default(false),
});

export const adminSchema: z.ZodType<AdminSettings, AdminConfig> = z
  .strictObject({
    port: integer(0, 65_535).default(9_470),
    host: z.string().min(1).default("127.0.0.1"),
    auth: authSchema.optional(),
    scaling: z.strictObject({ drainWithinMs: integer(1_000, hourMs).default(60_000), useMax: z.number().min(0.1).max(1).default(0.8) }).prefault({}),
    probes: z
      .strictObject({
        everyMs: integer(5_000, hourMs).optional(),
        timeoutMs: integer(1_000, 600_000).default(30_000),
        throughTopics: z.boolean().default(false),
      })
      .prefault({}),
    changesPerMinute: integer(1, 10_000).default(60),
  })
  .refine(({ host, auth }) => auth !== undefined || isLoopback(host), {
    path: ["host"],
    message: "expected an address of loopback, such as 127.0.0.1, or `auth` beside it",
  });
