// Reads the project's documentation, so that tests can hold it to what it says.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

export const root: string = resolve(import.meta.dirname, "../..");

export function readDocument(path: string): string {
  return readFileSync(resolve(root, path), "utf8");
}

export interface CodeBlock {
  readonly language: string;
  readonly text: string;
  /** The nearest bold words or heading before it. */
  readonly title: string;
}

export function codeBlocksOf(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map((match) => {
    const titles = [...markdown.slice(0, match.index).matchAll(/^#+ (.+)$|^\*\*(.+?)\*\*/gm)];
    const last = titles.at(-1);
    return { language: match[1] ?? "", text: match[2] ?? "", title: (last?.[1] ?? last?.[2] ?? "").replace(/\.$/, "") };
  });
}

/** What stands below a heading, up to the next of its level or above. */
export function sectionOf(markdown: string, heading: string): string {
  const lines = markdown.replaceAll(/^```.*?^```$/gms, (block) => block.replaceAll(/^#/gm, "\0#")).split("\n");
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`expected the document to have the heading '${heading}', found none; name what it says now`);
  const level = heading.indexOf(" ");
  const end = lines.findIndex((line, index) => index > start && /^#+ /.test(line) && line.indexOf(" ") <= level);
  return lines
    .slice(start + 1, end < 0 ? undefined : end)
    .join("\n")
    .replaceAll("\0#", "#");
}

/** The rows of the table whose head begins with `head`, as the texts of their cells. */
export function tableOf(markdown: string, head: string): string[][] {
  const lines = markdown.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  if (start < 0) throw new Error(`expected the document to have a table that begins '| ${head} |', found none; name what it says now`);
  const rows: string[][] = [];
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith("|")) break;
    rows.push(
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  }
  return rows;
}

/** What stands in backticks. */
export function codeIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
}
