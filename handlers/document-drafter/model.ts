// Asking the model, and what to do when it cannot be asked.
import { type HttpDependency, PermanentError, type StepEffect, type StepOptions, defineDependency } from "#runtime/index.ts";
import { z } from "zod";

/** A chat-completions endpoint. */
export const model: HttpDependency = defineDependency({
  name: "model",
  generativeAi: { provider: "openai" },
  bulkhead: { concurrentMax: 32, queueMax: 128 },
  timeouts: { connectMs: 1_000, headersMs: 20_000, bodyMs: 10_000, totalMs: 25_000 },
});

const modelName = "drafting";
const tokensMax = 600;

/** Executions of the skill; the last one answers from a template rather than fail for want of a model. */
export const attemptsMax = 3;

export interface Question {
  readonly instruction: string;
  readonly content: string;
  /** Wants the answer as one JSON object. */
  readonly json?: boolean;
}

/** A text, who wrote it, and what it cost. */
export interface Written<Content> {
  readonly content: Content;
  readonly source: "model" | "template";
  readonly tokens: number;
}

const completionSchema = z.looseObject({
  choices: z.array(z.looseObject({ message: z.looseObject({ content: z.string() }) })).min(1),
  usage: z.looseObject({ total_tokens: z.number().int().min(0) }).optional(),
});

/**
 * A step that asks the model and reads its answer with `read`, which returns undefined for an answer that is of no use. When the model
 * fails for good, or for the last time, the template answers. To ask twice costs tokens and nothing else, so an unknown outcome is
 * treated like a failure.
 */
export function asking<Content>(
  question: Question,
  read: (answer: string) => Content | undefined,
  template: () => Content,
): readonly [options: StepOptions<Written<Content>>, effect: StepEffect<Written<Content>>] {
  return [
    {
      kind: "keyed",
      fallbacks: [
        {
          name: "template",
          quality: "template",
          whenUnknown: true,
          when: (error, step) => !error.retryable || step.attempt >= attemptsMax,
          answer: () => ({ content: template(), source: "template", tokens: 0 }),
        },
      ],
    },
    async (step) => {
      const messages = [
        { role: "system", content: question.instruction },
        { role: "user", content: question.content },
      ];
      const format = question.json === true ? { response_format: { type: "json_object" } } : {};
      const body = { model: modelName, messages, max_tokens: tokensMax, temperature: 0, ...format };
      const response = await step.call(model, { method: "POST", path: "/v1/chat/completions", body });
      const completion = completionSchema.safeParse(response.body);
      const content = completion.success ? read(completion.data.choices[0]?.message.content ?? "") : undefined;
      if (content === undefined) throw new PermanentError("expected a usable answer from the model", { code: "MODEL_OUTPUT", dependency: model.name });
      return { content, source: "model", tokens: completion.data?.usage?.total_tokens ?? 0 };
    },
  ];
}
