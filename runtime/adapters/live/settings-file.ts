/** A file of live settings, JSON or YAML, that is watched. */
import { createRequire } from "node:module";
import { basename } from "node:path";
import type * as Yaml from "yaml";
import { messageOf } from "../../core/errors.ts";
import { WatchedFile, type FileNews } from "../support/watched-file.ts";

export interface LiveListener {
  readonly offer: (document: unknown) => void;
  readonly refuse: (error: string) => void;
}

export interface LiveSource {
  start(): void;
  stop(): void;
}

export function watchSettingsFile(file: string, listener: LiveListener): LiveSource {
  let isFirst = true;
  return new WatchedFile(
    file,
    (news) => {
      // Who has nothing to say yet need not have a file.
      if (!(isFirst && "error" in news && news.error.includes("ENOENT"))) hear(file, news, listener);
      isFirst = false;
    },
    true,
  );
}

function hear(file: string, news: FileNews, { offer, refuse }: LiveListener): void {
  if ("error" in news) return refuse(`${basename(file)}: ${news.error}`);
  const library = createRequire(import.meta.url)("yaml") as typeof Yaml;
  const lines = new library.LineCounter();
  const document = library.parseDocument(news.text, { lineCounter: lines, prettyErrors: false });
  const [wrong] = document.errors;
  if (wrong === undefined) {
    let value: unknown;
    try {
      value = document.toJS();
    } catch (error) {
      // An alias of nothing, or of too much, is found only now.
      return refuse(`${basename(file)}: ${messageOf(error, 200)}`);
    }
    return offer(value);
  }
  const { line, col } = lines.linePos(wrong.pos[0]);
  refuse(`${basename(file)}:${line}:${col}: ${wrong.message}`);
}
