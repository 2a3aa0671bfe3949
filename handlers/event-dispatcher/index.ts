import { type Plugin, type Skill, definePlugin, defineSkill } from "#runtime/index.ts";
import { z } from "zod";
import { classify, subjectOf } from "./classify.ts";

interface RepositoryEvent {
  /** The webhook's name, such as `issues`. */
  readonly name: string;
  /** The webhook's payload. */
  readonly event: {
    readonly action?: string | undefined;
    readonly repository?: { readonly full_name: string } | null | undefined;
    readonly [field: string]: unknown;
  };
}

const payload: z.ZodType<RepositoryEvent> = z.object({
  name: z.string().min(1).max(100),
  event: z.looseObject({
    action: z.string().max(100).optional(),
    repository: z.looseObject({ full_name: z.string() }).nullish(),
  }),
});

export const eventDispatcher: Skill<RepositoryEvent> = defineSkill({
  name: "event-dispatcher",
  handles: [{ eventType: "RepositoryEventReceived", versions: "1.x" }],
  payload,
  timeoutMs: 5_000,
  run(context) {
    const { name, event } = context.event.payload;
    const tasks = classify(name, event);
    if (tasks.length === 0) context.log.debug("no rule matches", { name, action: event.action });
    const repository = event.repository?.full_name;
    const subject = subjectOf(event);
    for (const task of tasks) context.emit("TaskRequested", { ...task, repository, subject, source: { name, action: event.action } });
  },
});

const plugin: Plugin = definePlugin({ skills: [eventDispatcher] });
export default plugin;
