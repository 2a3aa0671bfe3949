/** A chat's incoming webhook: Slack's form, which Mattermost and others take too, or the adaptive card of a Teams workflow. */
import { type EscalationNotice, escalationTitle } from "../../core/escalation.ts";
import { reveal, type SecretText } from "../../core/secret.ts";
import type { EscalationChannel } from "../../ports/escalation-channel.ts";
import { factsOf } from "./facts.ts";
import { postJson } from "./post-json.ts";
import { checked } from "./webhook.ts";

export type ChatForm = "slack" | "teams";

export interface ChatChannelOptions {
  readonly url: SecretText;
  readonly form: ChatForm;
}

/** Cards of Teams and texts of Mattermost are Markdown: nothing that a message brings makes a link there that shows something else than its address. */
function withoutLinks(text: string): string {
  return text.replaceAll("](", "] (");
}

/** In Slack's text these begin a link or a mention; nothing that a message brings may do so. */
function escaped(text: string): string {
  return withoutLinks(text).replace(/[&<>]/g, (character) => (character === "&" ? "&amp;" : character === "<" ? "&lt;" : "&gt;"));
}

function slackBody(notice: EscalationNotice): unknown {
  const facts = factsOf(notice).map(([name, value]) => `*${name}*: ${escaped(value)}`);
  return { text: [`*${escaped(escalationTitle(notice))}*`, ...facts].join("\n") };
}

function teamsBody(notice: EscalationNotice): unknown {
  const content = {
    $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
    type: "AdaptiveCard",
    version: "1.4",
    body: [
      { type: "TextBlock", text: withoutLinks(escalationTitle(notice)), weight: "Bolder", wrap: true },
      { type: "FactSet", facts: factsOf(notice).map(([title, value]) => ({ title, value: withoutLinks(value) })) },
    ],
  };
  return { type: "message", attachments: [{ contentType: "application/vnd.microsoft.card.adaptive", content }] };
}

export function createChatChannel({ url, form }: ChatChannelOptions): EscalationChannel {
  return {
    send: (notice, signal) =>
      postJson({ url: reveal(url), headers: {}, body: JSON.stringify(form === "slack" ? slackBody(notice) : teamsBody(notice)) }, signal),
    check: () => Promise.resolve(checked),
  };
}
