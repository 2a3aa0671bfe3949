// A chat-completions endpoint without a model: the answer is made from the words of the request, the same for the same
// request. It keeps to the form that was asked for: JSON when `response_format` says so, a numbered list when the last
// message asks for one, else a paragraph.
import { digestOf } from "./hash-index.ts";
import { type Answer, Target, type Work } from "./target.ts";

interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly wantsJson: boolean;
}

const charactersPerToken = 4;
const charactersRead = 300;

function textField(record: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = record[name];
  return typeof value === "string" ? value : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseRequest(body: Buffer): ChatRequest | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
  if (!isRecord(parsed) || !Array.isArray(parsed["messages"]) || parsed["messages"].length === 0) return undefined;
  const messages: { role: string; content: string }[] = [];
  for (const message of parsed["messages"] as unknown[]) {
    const role = isRecord(message) ? textField(message, "role") : undefined;
    const content = isRecord(message) ? textField(message, "content") : undefined;
    if (role === undefined || content === undefined) return undefined;
    messages.push({ role, content });
  }
  const format = parsed["response_format"];
  return { model: textField(parsed, "model") ?? "stand-in", messages, wantsJson: isRecord(format) && format["type"] === "json_object" };
}

/** Words from the end of the request, drawn by its digest, so that the text looks as if it were about the matter. */
function wordsOf(content: string, seed: number): (count: number) => string {
  const words = content.slice(-charactersRead).match(/[A-Za-z]{4,}/g) ?? [];
  let state = seed;
  const next = (): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return words[state % words.length] ?? "matter";
  };
  return (count) => {
    let text = next();
    for (let more = 1; more < count; more++) text += ` ${next()}`;
    return text;
  };
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

function contentFor(request: ChatRequest, seed: number): string {
  const last = request.messages.at(-1)?.content ?? "";
  const words = wordsOf(last, seed);
  if (request.wantsJson) return JSON.stringify({ approved: seed % 8 !== 0, notes: [sentence(words(6))] });
  if (/\bnumbered list\b/i.test(last)) return [1, 2, 3, 4].map((number) => `${number}. ${sentence(words(4)).slice(0, -1)}`).join("\n");
  return [12, 9, 14].map((count) => sentence(words(count))).join(" ");
}

function answerOf({ body, firstAtMs }: Work): Answer {
  const request = parseRequest(body);
  if (request === undefined) return invalidRequest;
  const prompt = request.messages.map((message) => message.content).join("\n");
  const digest = digestOf(prompt);
  const content = contentFor(request, digest.low);
  const promptTokens = Math.ceil(prompt.length / charactersPerToken);
  const completionTokens = Math.ceil(content.length / charactersPerToken);
  const completion = {
    id: `chatcmpl-${digest.high.toString(16)}${digest.low.toString(16)}`,
    object: "chat.completion",
    created: Math.floor(firstAtMs / 1_000),
    model: request.model,
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens },
  };
  return { status: 200, body: JSON.stringify(completion) };
}

const invalidRequest: Answer = {
  status: 400,
  body: JSON.stringify({ error: { message: "expected JSON with a list of messages, each with role and content", type: "invalid_request_error", code: 400 } }),
};

export function makeModel(): Target {
  return new Target({
    name: "model",
    method: "POST",
    route: "/v1/chat/completions",
    answer: answerOf,
  });
}
