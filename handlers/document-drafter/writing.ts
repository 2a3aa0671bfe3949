// What is asked of the model at each step, how its answers are read, and the templates that stand in for it. Pure functions.
import type { Question } from "./model.ts";

/** What the document is about. */
export interface Matter {
  readonly title: string;
  readonly audience: "engineers" | "customers";
  /** The webhook's name. */
  readonly name: string;
  readonly repository: string | undefined;
  readonly action: string | undefined;
  readonly sender: string | undefined;
}

export interface Review {
  readonly approved: boolean;
  readonly notes: readonly string[];
}

export const sectionsMax = 2;
const headingCharactersMax = 120;
const notesMax = 5;

function factsOf(matter: Matter): string {
  const facts = [
    `Title: ${matter.title}`,
    `Event: ${matter.name}${matter.action === undefined ? "" : ` (${matter.action})`}`,
    ...(matter.repository === undefined ? [] : [`Repository: ${matter.repository}`]),
    ...(matter.sender === undefined ? [] : [`Caused by: ${matter.sender}`]),
  ];
  return facts.join("\n");
}

export function outlineQuestion(matter: Matter): Question {
  return {
    instruction: `You write short change notes for ${matter.audience}.`,
    content: `${factsOf(matter)}\nGive ${sectionsMax} section headings as a numbered list.`,
  };
}

/** The headings of a numbered list; undefined when there are too few. */
export function readOutline(answer: string): string[] | undefined {
  const headings = [...answer.matchAll(/^\s*\d+[.)]\s*(.+?)\s*$/gm)].map((match) => (match[1] ?? "").slice(0, headingCharactersMax));
  return headings.length < sectionsMax ? undefined : headings.slice(0, sectionsMax);
}

export function templateOutline(): string[] {
  return ["What changed", "What to do"];
}

export function sectionQuestion(matter: Matter, heading: string): Question {
  return {
    instruction: `You write short change notes for ${matter.audience}.`,
    content: `${factsOf(matter)}\nWrite the section "${heading}" in at most five sentences.`,
  };
}

export function readSection(answer: string): string | undefined {
  const text = answer.trim();
  return text === "" ? undefined : text;
}

export function templateSection(matter: Matter, heading: string): string {
  const where = matter.repository === undefined ? "" : ` in ${matter.repository}`;
  return `${heading}: ${matter.title}. This note was written from the ${matter.name} event${where}.`;
}

export function reviewQuestion(document: string): Question {
  return {
    instruction: "You review change notes. Answer with a JSON object: approved (boolean) and notes (a list of short remarks).",
    content: document,
    json: true,
  };
}

export function readReview(answer: string): Review | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const { approved, notes } = parsed as { readonly approved?: unknown; readonly notes?: unknown };
  if (typeof approved !== "boolean") return undefined;
  const remarks = Array.isArray(notes) ? notes.filter((note) => typeof note === "string").slice(0, notesMax) : [];
  return { approved, notes: remarks };
}

/** Nobody has read it: it is published for a person to look at. */
export function templateReview(): Review {
  return { approved: false, notes: ["not reviewed: the model could not be asked"] };
}

export function compose(matter: Matter, sections: readonly { readonly heading: string; readonly text: string }[]): string {
  return [`# ${matter.title}`, ...sections.map(({ heading, text }) => `## ${heading}\n\n${text}`)].join("\n\n");
}
