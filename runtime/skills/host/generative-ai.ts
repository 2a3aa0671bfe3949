/**
 * What is told of a call of a generative model, by OpenTelemetry's conventions: which model was asked, how much it may say, and the tokens that
 * it took. Read from bodies in the form that most servers of models speak; of what is asked and answered nothing is told.
 */
import type { ModelUse } from "../../core/outcome.ts";
import { fieldOf } from "../../core/redact.ts";
import { type SpanAttribute, type SpanAttributes, spanName } from "../../core/spans.ts";
import type { GenerativeAi } from "../author/define-dependency.ts";

/** Where each is found: under one of these names. */
type Places = Readonly<Partial<Record<SpanAttribute, readonly string[]>>>;

const ofRequest: Places = {
  "gen_ai.request.model": ["model"],
  "gen_ai.request.max_tokens": ["max_tokens", "max_completion_tokens", "max_output_tokens"],
  "gen_ai.request.temperature": ["temperature"],
};
const ofAnswer: Places = { "gen_ai.response.model": ["model"] };
const ofUsage: Places = {
  "gen_ai.usage.input_tokens": ["prompt_tokens", "input_tokens"],
  "gen_ai.usage.output_tokens": ["completion_tokens", "output_tokens"],
};

function read(places: Places, from: unknown): SpanAttributes {
  const found: Partial<Record<SpanAttribute, string | number>> = {};
  for (const [attribute, names] of Object.entries(places)) {
    const value = names.map((name) => fieldOf(from, name)).find((value) => typeof value === "string" || typeof value === "number");
    if (typeof value === "string" || typeof value === "number") found[attribute as SpanAttribute] = value;
  }
  return found;
}

/** Tokens that an answer says it took, and what they cost; undefined where it says nothing of them. */
export function spentBy({ price }: GenerativeAi, response: unknown): ModelUse | undefined {
  const usage = read(ofUsage, fieldOf(bodyOf(response), "usage"));
  const [inputTokens, outputTokens] = [tokensIn(usage["gen_ai.usage.input_tokens"]), tokensIn(usage["gen_ai.usage.output_tokens"])];
  if (inputTokens + outputTokens === 0) return undefined;
  const { inputPerMillion, outputPerMillion } = price ?? { inputPerMillion: 0, outputPerMillion: 0 };
  return { inputTokens, outputTokens, cost: (inputTokens * inputPerMillion + outputTokens * outputPerMillion) / 1_000_000 };
}

function tokensIn(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

/** Of an HTTP request or response its body; of another one itself. */
function bodyOf(message: unknown): unknown {
  return fieldOf(message, "body") ?? message;
}

/** A call's name: what is done, and with which model. */
export function operationOf({ operation }: GenerativeAi, request: unknown): string {
  return spanName(operation, fieldOf(bodyOf(request), "model"));
}

export function requestAttributes({ operation, provider }: GenerativeAi, request: unknown): SpanAttributes {
  return { "gen_ai.operation.name": operation, "gen_ai.provider.name": provider, ...read(ofRequest, bodyOf(request)) };
}

export function answerAttributes(response: unknown): SpanAttributes {
  const body = bodyOf(response);
  const choices = fieldOf(body, "choices");
  const reasons = Array.isArray(choices) ? choices.map((choice) => fieldOf(choice, "finish_reason")).filter((reason) => typeof reason === "string") : [];
  return {
    ...read(ofAnswer, body),
    ...read(ofUsage, fieldOf(body, "usage")),
    ...(reasons.length === 0 ? undefined : { "gen_ai.response.finish_reasons": reasons }),
  };
}
