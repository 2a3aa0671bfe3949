/** Mail through an SMTP server. The library is loaded with the first mail. */
import type { Transporter } from "nodemailer";
import { messageOf } from "../../core/errors.ts";
import { reveal, type SecretText } from "../../core/secret.ts";
import { escalationTitle } from "../../core/escalation.ts";
import { type ChannelCheck, DeliveryError, type EscalationChannel } from "../../ports/escalation-channel.ts";
import { factsOf } from "./facts.ts";

export interface MailChannelOptions {
  readonly host: string;
  readonly port: number;
  /** `tls`: from the first byte on; `starttls`: refused without it; `none`: never. */
  readonly security: "tls" | "starttls" | "none";
  readonly user?: string | undefined;
  readonly password?: SecretText | undefined;
  /** Authorities, as PEM, in place of the public ones. */
  readonly ca?: string | undefined;
  readonly from: string;
  readonly to: readonly string[];
}

const connectTimeoutMs = 10_000;
const answerTimeoutMs = 15_000;

export function createMailChannel(options: MailChannelOptions): EscalationChannel {
  const { host, port, from, to } = options;
  const server = `${host}:${port}`;
  let loaded: { readonly password: string | undefined; readonly transporter: Promise<Transporter> } | undefined;
  const transporter = (): Promise<Transporter> => {
    const password = options.password === undefined ? undefined : reveal(options.password);
    if (loaded?.password !== password || loaded === undefined) loaded = { password, transporter: open(options, password) };
    return loaded.transporter;
  };
  return {
    async send(notice, signal) {
      signal.throwIfAborted();
      const text = factsOf(notice)
        .map(([name, value]) => `${name}: ${value}`)
        .join("\n");
      const domain = from.replace(/^.*@/, "").replace(/[^A-Za-z0-9.-].*$/, "");
      try {
        const { rejected } = (await (
          await transporter()
        ).sendMail({
          from,
          to: [...to],
          subject: escalationTitle(notice).slice(0, 200),
          text,
          // Mailboxes show one message of an id, though it is sent twice.
          messageId: `<${notice.id}@${domain || "holdfast"}>`,
        })) as { readonly rejected?: readonly unknown[] };
        if ((rejected ?? []).length > 0) throw new DeliveryError(`expected ${server} to take mail for all of ${to.length}, found ${rejected?.length} refused`);
      } catch (error) {
        if (error instanceof DeliveryError) throw error;
        throw new DeliveryError(`expected ${server} to take a mail, found ${messageOf(error, 200)}`, { cause: error, isPermanent: isRefused(error) });
      }
    },
    async check(): Promise<ChannelCheck> {
      try {
        await (await transporter()).verify();
        return { kind: "ok" };
      } catch (error) {
        return { kind: isRefused(error) ? "refused" : "unanswered", why: messageOf(error, 200) };
      }
    },
  };
}

async function open({ host, port, security, user, ca }: MailChannelOptions, password: string | undefined): Promise<Transporter> {
  const { createTransport } = await import("nodemailer");
  return createTransport({
    host,
    port,
    secure: security === "tls",
    requireTLS: security === "starttls",
    ignoreTLS: security === "none",
    ...(user === undefined ? {} : { auth: { user, pass: password ?? "" } }),
    ...(ca === undefined ? {} : { tls: { ca } }),
    connectionTimeout: connectTimeoutMs,
    greetingTimeout: connectTimeoutMs,
    socketTimeout: answerTimeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

/** A reply of 500 to 599 stands for good; so does a log-in that the server refused. */
function isRefused(error: unknown): boolean {
  const { responseCode, code } = (error ?? {}) as { readonly responseCode?: unknown; readonly code?: unknown };
  return (typeof responseCode === "number" && responseCode >= 500) || code === "EAUTH";
}
