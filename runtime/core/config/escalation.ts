// When failures are escalated, and to whom.
import { z } from "zod";
import { deathClasses } from "../death.ts";
import { type EscalationCause, type EscalationPart, escalationParts, type EscalationRule } from "../escalation.ts";
import { byName, dayMs, entityName, hourMs, integer } from "./fields.ts";
import type { SecretText } from "../secret.ts";
import { secret, type SecretInput } from "./secrets.ts";

/** Addresses and passwords are secrets: refer to where they lie, as in `{ env: "PAGER_URL" }`; they are never logged. */
export type EscalationChannelConfig =
  /** Takes the notice as JSON; with a `secret`, of 16 characters or more, the request is signed. */
  | {
      readonly kind: "webhook";
      readonly url: SecretInput;
      readonly secret?: SecretInput | undefined;
      readonly headers?: Readonly<Record<string, SecretInput>> | undefined;
    }
  /** A chat's incoming webhook. `form`: `slack` (the default), which Mattermost takes too, or `teams`. */
  | { readonly kind: "chat"; readonly url: SecretInput; readonly form?: "slack" | "teams" | undefined }
  | MailChannelConfig<SecretInput>
  /** Copies of the dead-lettered events go there, for other workers or people; only for rules on dead letters. */
  | { readonly kind: "queue"; readonly queue: string };

interface MailChannelConfig<SecretValue> {
  readonly kind: "mail";
  readonly host: string;
  /** Default 465 with `tls`, else 587. */
  readonly port?: number | undefined;
  /** `tls` from the first byte on (the default), `starttls`, or `none` within a network that is trusted. */
  readonly security?: "tls" | "starttls" | "none" | undefined;
  readonly user?: string | undefined;
  readonly password?: SecretValue | undefined;
  /** PEM file of the authorities that are trusted in place of the public ones, relative to the configuration's folder. */
  readonly caFile?: string | undefined;
  readonly from: string;
  readonly to: readonly string[];
}

export interface EscalationRuleConfig {
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`; unique. */
  readonly name: string;
  /** `dead-letter` (the default): messages that are given up; `failure`: each execution that fails. */
  readonly on?: EscalationCause | undefined;
  /** A value or several, of each part; one that ends with `*` stands for all that begin so. Default: every failure. */
  readonly when?: ({ readonly [P in EscalationPart]?: string | readonly string[] | undefined } & { readonly critical?: boolean | undefined }) | undefined;
  /** What is counted apart. Default `["project"]`. */
  readonly by?: readonly EscalationPart[] | undefined;
  /** 1 to 1 000 failures, default 5, within 1 000 ms to a day, default 60 000. One of a critical project suffices. */
  readonly threshold?: { readonly count?: number | undefined; readonly windowMs?: number | undefined } | undefined;
  /** Names of channels. */
  readonly to: readonly string[];
  /** 1 000 to 7 days, default 900 000. */
  readonly repeatAfterMs?: number | undefined;
}

export interface EscalationConfig {
  /** By name. */
  readonly channels: Readonly<Record<string, EscalationChannelConfig>>;
  readonly rules: readonly EscalationRuleConfig[];
  /** Project ids: a failure of one of them is escalated at once. Default: none. */
  readonly criticalProjects?: readonly string[] | undefined;
  /** Escalations that one worker may begin in an hour; 1 to 10 000, default 60. */
  readonly perHourMax?: number | undefined;
}

export type EscalationChannelSettings =
  | { readonly kind: "webhook"; readonly url: SecretText; readonly secret?: SecretText | undefined; readonly headers: ReadonlyMap<string, SecretText> }
  | { readonly kind: "chat"; readonly url: SecretText; readonly form: "slack" | "teams" }
  | MailChannelConfig<SecretText>
  | Extract<EscalationChannelConfig, { kind: "queue" }>;

export interface EscalationSettings {
  readonly channels: ReadonlyMap<string, EscalationChannelSettings>;
  readonly rules: readonly EscalationRule[];
  readonly criticalProjects: readonly string[];
  readonly perHourMax: number;
}

const webAddress = z.string().refine((url) => URL.canParse(url) && /^https?:/.test(url), "expected https://… or http://…");
const name = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "expected 1 to 64 characters of A-Z a-z 0-9 . _ -");
const address = z.string().regex(/^[^\r\n]{1,200}@[^\r\n]{1,200}$/, "expected a mail address");
const values = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
  .transform((value): readonly string[] => (typeof value === "string" ? [value] : value));

const channel: z.ZodType<EscalationChannelSettings, EscalationChannelConfig> = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("webhook"),
    url: secret(webAddress),
    secret: secret(z.string().min(16, "expected at least 16 characters")).optional(),
    headers: byName(secret(z.string())).default(new Map()),
  }),
  z.strictObject({ kind: z.literal("chat"), url: secret(webAddress), form: z.enum(["slack", "teams"]).default("slack") }),
  z.strictObject({
    kind: z.literal("mail"),
    host: z.string().regex(/^[A-Za-z0-9.:-]+$/, "expected a host name"),
    port: integer(1, 65_535).optional(),
    security: z.enum(["tls", "starttls", "none"]).optional(),
    user: z.string().min(1).optional(),
    password: secret(z.string().min(1)).optional(),
    caFile: z.string().min(1).optional(),
    from: address,
    to: z.array(address).min(1).max(50),
  }),
  z.strictObject({ kind: z.literal("queue"), queue: entityName }),
]);

const when = z.strictObject({
  failureClass: values.pipe(z.array(z.enum(deathClasses))).optional(),
  code: values.optional(),
  eventType: values.optional(),
  skill: values.optional(),
  tenant: values.optional(),
  project: values.optional(),
  critical: z.boolean().optional(),
});

const rule: z.ZodType<EscalationRule, EscalationRuleConfig> = z
  .strictObject({
    name,
    on: z.enum(["failure", "dead-letter"]).default("dead-letter"),
    when: when.default({}),
    by: z.array(z.enum(escalationParts)).max(6).default(["project"]),
    threshold: z.strictObject({ count: integer(1, 1_000).default(5), windowMs: integer(1_000, dayMs).default(60_000) }).default({ count: 5, windowMs: 60_000 }),
    to: z.array(name).min(1),
    repeatAfterMs: integer(1_000, 7 * dayMs).default(hourMs / 4),
  })
  .transform(({ when: { critical, ...parts }, ...others }) => ({ ...others, when: parts, critical }));

export const escalationSchema: z.ZodType<EscalationSettings, EscalationConfig> = z
  .strictObject({
    channels: byName(channel),
    rules: z.array(rule).min(1).max(100),
    criticalProjects: z.array(z.string().min(1)).max(10_000).default([]),
    perHourMax: integer(1, 10_000).default(60),
  })
  .superRefine(({ channels, rules }, context) => {
    const refuse = (path: (string | number)[], message: string): void => context.addIssue({ code: "custom", path, message });
    for (const channelName of channels.keys())
      if (!name.safeParse(channelName).success) refuse(["channels", channelName], "expected a name of 1 to 64 characters of A-Z a-z 0-9 . _ -");
    rules.forEach((one, index) => {
      if (rules.findIndex(({ name: other }) => other === one.name) < index) refuse(["rules", index, "name"], "expected each rule to have a name of its own");
      one.to.forEach((to, at) => {
        const found = channels.get(to);
        if (found === undefined) refuse(["rules", index, "to", at], `expected one of the channels (${[...channels.keys()].join(", ")})`);
        else if (found.kind === "queue" && one.on !== "dead-letter") refuse(["rules", index, "on"], "expected dead-letter beside a channel that is a queue");
      });
    });
  });
