/** All documents of a run as one page that needs nothing else: data, charts, styles and scripts are in it. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { ReportDocument } from "../support/document.ts";

const require = createRequire(import.meta.url);

function textOf(path: string): string {
  return readFileSync(path, "utf8");
}

/** Inside a script element nothing may look like its end. */
function inScript(text: string): string {
  return text.replaceAll("</", "<\\/").replaceAll("<!--", "<\\!--");
}

export function reportPage(documents: readonly ReportDocument[]): string {
  const parts: Readonly<Record<string, string>> = {
    "uplot.css": textOf(require.resolve("uplot/dist/uPlot.min.css")),
    "uplot.js": inScript(textOf(require.resolve("uplot/dist/uPlot.iife.min.js"))),
    data: JSON.stringify(documents).replaceAll("<", "\\u003c"),
  };
  const template = readFileSync(join(import.meta.dirname, "page.html"), "utf8");
  return template.replace(/\/\*\{(.+?)\}\*\//g, (_, name: string) => parts[name] ?? "");
}
