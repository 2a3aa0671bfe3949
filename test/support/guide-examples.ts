// The guide's code: each block of TypeScript names its file in its first line, one of JSON in the line before it. They are laid into a folder of their chapter; JSON without a name is
// a part of the configuration.
import { globSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeBlocksOf, readDocument, root } from "./markdown.ts";

export interface Chapter {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  /** Where its files are laid, below a folder that `layGuide` was given. */
  readonly folder: string;
  /** By path in that folder. */
  readonly files: ReadonlyMap<string, string>;
  /** Parts of the configuration, as JSON. */
  readonly configurations: readonly string[];
  /** Command lines, each without its comment. */
  readonly commands: readonly string[];
}

function fileOf(path: string, text: string): readonly [file: string, text: string] {
  const file = /^\/\/ ([\w./-]+\.ts)\n/.exec(text)?.[1];
  if (file === undefined)
    throw new Error(`${path}: expected each block of TypeScript to name its file in its first line ('// skill.ts'), found '${text.split("\n")[0]}'`);
  return [file, text];
}

/** A block of JSON, with the path that ends the text before it. */
const jsonPattern = /(?:`([\w./-]+\.json)`:\n+)?^```json\n(.*?)^```$/gms;

function chapterOf(path: string): Chapter {
  const text = readDocument(path);
  const blocks = codeBlocksOf(text);
  const of = (wanted: string): readonly string[] => blocks.filter(({ language }) => language === wanted).map((block) => block.text);
  const json = [...text.matchAll(jsonPattern)].map(([, file, block = ""]) => [file, block] as const);
  const commands = of("sh").flatMap((block) => block.split("\n").map((line) => line.replace(/\s+#.*$/, "").trim()));
  return {
    path,
    text,
    lines: text.split("\n").length,
    folder: join("guide", basename(path, ".md")),
    files: new Map([...of("ts").map((block) => fileOf(path, block)), ...json.flatMap(([file, block]) => (file === undefined ? [] : [[file, block] as const]))]),
    configurations: json.flatMap(([file, block]) => (file === undefined ? [block] : [])),
    commands: commands.filter((line) => line !== ""),
  };
}

/** In their order. */
export const chapters: readonly Chapter[] = globSync("handlers/guide/[0-9]*.md", { cwd: root }).toSorted().map(chapterOf);

/** Lays each chapter's files where they can be compiled and run. */
export function layGuide(folder: string): void {
  for (const chapter of chapters) {
    for (const [file, text] of chapter.files) {
      const path = join(folder, chapter.folder, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
  }
}
