import { type HttpDependency, PermanentError, type Plugin, type Skill, defineDependency, definePlugin, defineSkill } from "#runtime/index.ts";
import { z } from "zod";
import { asking, attemptsMax, model } from "./model.ts";
import {
  type Matter,
  compose,
  outlineQuestion,
  readOutline,
  readReview,
  readSection,
  reviewQuestion,
  sectionQuestion,
  templateOutline,
  templateReview,
  templateSection,
} from "./writing.ts";

interface RequestedDocument {
  readonly title: string;
  readonly audience: "engineers" | "customers";
  /** The repository event the document is about. */
  readonly about: {
    readonly name: string;
    readonly event: {
      readonly action?: string | undefined;
      readonly repository?: { readonly full_name: string } | null | undefined;
      readonly sender?: { readonly login: string } | null | undefined;
      readonly [field: string]: unknown;
    };
  };
}

const payload: z.ZodType<RequestedDocument> = z.object({
  title: z.string().min(1).max(300),
  audience: z.enum(["engineers", "customers"]),
  about: z.object({
    name: z.string().min(1).max(100),
    event: z.looseObject({
      action: z.string().optional(),
      repository: z.looseObject({ full_name: z.string() }).nullish(),
      sender: z.looseObject({ login: z.string() }).nullish(),
    }),
  }),
});

/** Where documents are kept. `PUT /documents/<id>` is expected to honour the idempotency key. */
export const library: HttpDependency = defineDependency({
  name: "library",
  bulkhead: { concurrentMax: 32, queueMax: 128 },
  timeouts: { connectMs: 1_000, headersMs: 5_000, bodyMs: 5_000, totalMs: 10_000 },
});

const publishedSchema = z.looseObject({ revision: z.number().int().min(1) });

function matterOf({ title, audience, about }: RequestedDocument): Matter {
  const { action, repository, sender } = about.event;
  return { title, audience, name: about.name, repository: repository?.full_name, action, sender: sender?.login };
}

export const documentDrafter: Skill<RequestedDocument> = defineSkill({
  name: "document-drafter",
  handles: [{ eventType: "DocumentRequested", versions: "1.x" }],
  payload,
  uses: [model, library],
  timeoutMs: 60_000,
  retry: { attemptsMax },
  async run(context) {
    const matter = matterOf(context.event.payload);
    const outline = await context.step("outline", ...asking(outlineQuestion(matter), readOutline, templateOutline));

    const sections: { readonly heading: string; readonly text: string }[] = [];
    const sources = new Set([outline.source]);
    let tokens = outline.tokens;
    for (const [index, heading] of outline.content.entries()) {
      const section = await context.step(
        `draft-${index + 1}`,
        ...asking(sectionQuestion(matter, heading), readSection, () => templateSection(matter, heading)),
      );
      sections.push({ heading, text: section.content });
      sources.add(section.source);
      tokens += section.tokens;
    }

    const text = compose(matter, sections);
    const review = await context.step("review", ...asking(reviewQuestion(text), readReview, templateReview));
    tokens += review.tokens;

    const documentId = encodeURIComponent(context.event.eventId);
    const status = review.content.approved ? "approved" : "needs-review";
    const revision = await context.step("publish", { kind: "keyed" }, async (step) => {
      const body = { title: matter.title, text, status, notes: review.content.notes };
      const response = await step.call(library, { method: "PUT", path: `/documents/${documentId}`, body });
      const published = publishedSchema.safeParse(response.body);
      if (!published.success) throw new PermanentError("expected the library to answer with a revision", { code: "NOT_PUBLISHED", dependency: library.name });
      return published.data.revision;
    });
    context.emit("DocumentDrafted", { documentId, revision, status, sources: [...sources], tokens });
  },
});

const plugin: Plugin = definePlugin({ skills: [documentDrafter], dependencies: [model, library] });
export default plugin;
