import { type HttpDependency, PermanentError, type Plugin, type Skill, defineDependency, definePlugin, defineSkill } from "#runtime/index.ts";
import { z } from "zod";

interface RequestedNotification {
  /** Where it goes: the last part of the webhook's path. */
  readonly channel: string;
  readonly title: string;
  readonly text: string;
  readonly link?: string | undefined;
  /** The repository event it describes. */
  readonly about: { readonly name: string; readonly event: Readonly<Record<string, unknown>> };
}

const payload: z.ZodType<RequestedNotification> = z.object({
  channel: z.string().regex(/^[a-z0-9-]{1,64}$/, "expected 1 to 64 characters of a-z 0-9 -"),
  title: z.string().min(1).max(300),
  text: z.string().max(4_000),
  link: z.url({ protocol: /^https?$/ }).optional(),
  about: z.object({ name: z.string(), event: z.looseObject({}) }),
});

const receiptSchema = z.looseObject({ id: z.string().min(1) });

/** The receiver of webhooks. It is expected to honour the idempotency key: a notice is shown once however often it is posted. */
export const notifier: HttpDependency = defineDependency({
  name: "notifier",
  bulkhead: { concurrentMax: 32, queueMax: 128 },
  timeouts: { connectMs: 1_000, headersMs: 3_000, bodyMs: 3_000, totalMs: 8_000 },
});

export const webhookNotifier: Skill<RequestedNotification> = defineSkill({
  name: "webhook-notifier",
  handles: [{ eventType: "NotificationRequested", versions: "1.x" }],
  payload,
  uses: [notifier],
  timeoutMs: 10_000,
  async run(context) {
    const { channel, title, text, link, about } = context.event.payload;
    const receipt = await context.step("post", { kind: "keyed" }, async (step) => {
      const body = { title, text, link, about: about.name, eventId: step.event.eventId };
      const response = await step.call(notifier, { method: "POST", path: `/hooks/${channel}`, body });
      const read = receiptSchema.safeParse(response.body);
      if (!read.success) throw new PermanentError("expected the webhook's answer to carry an id", { code: "NO_RECEIPT", dependency: notifier.name });
      return read.data.id;
    });
    context.emit("NotificationDelivered", { channel, receipt });
  },
});

const plugin: Plugin = definePlugin({ skills: [webhookNotifier], dependencies: [notifier] });
export default plugin;
