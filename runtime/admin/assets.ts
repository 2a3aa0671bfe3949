/**
 * The live page, as it is served: plain ES modules, which the browser puts together by an import map. Nothing is bundled, and nothing
 * comes from elsewhere. In a clone the types are taken off here, as Node does for everything else.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Asset {
  readonly type: string;
  readonly body: string;
}

export interface Page {
  /** By path. */
  readonly assets: ReadonlyMap<string, Asset>;
  /** For the page itself. */
  readonly contentSecurityPolicy: string;
}

const folder = join(import.meta.dirname, "page");
const script = "text/javascript; charset=utf-8";
const styles = "text/css; charset=utf-8";

/** Under which name each is known to the page. */
const libraries: readonly (readonly [path: string, module: string, type: string])[] = [
  ["/page/preact.js", "preact", script],
  ["/page/preact-hooks.js", "preact/hooks", script],
  ["/page/uplot.js", "uplot/dist/uPlot.esm.js", script],
  ["/page/uplot.css", "uplot/dist/uPlot.min.css", styles],
];

/** Read once: a page that was opened goes on with the files that it began with. */
export function loadPage(): Page {
  const assets = new Map<string, Asset>();
  for (const [path, module, type] of libraries) assets.set(path, { type, body: withoutMap(readFileSync(fileURLToPath(import.meta.resolve(module)), "utf8")) });
  const names = readdirSync(folder);
  for (const name of names) {
    const text = (): string => readFileSync(join(folder, name), "utf8");
    if (name.endsWith(".css")) assets.set(`/page/${name}`, { type: styles, body: text() });
    else if (name.endsWith(".ts") && !name.endsWith(".d.ts")) assets.set(`/page/${name}`, { type: script, body: withoutTypes(text()) });
    else if (name.endsWith(".js")) assets.set(`/page/${name}`, { type: script, body: withoutMap(text()) });
  }
  const extension = names.map((name) => extname(name)).find((one) => one === ".ts") ?? ".js";
  const html = readFileSync(join(folder, "index.html"), "utf8").replace("main.ts", `main${extension}`);
  assets.set("/", { type: "text/html; charset=utf-8", body: html });
  return { assets, contentSecurityPolicy: policyOf(html) };
}

/** Its map lies where it is not served. */
function withoutMap(text: string): string {
  return text.replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, "\n");
}

/** Scripts of this server, and the one import map that stands in the page; nothing else, from nowhere else. */
function policyOf(html: string): string {
  const [, importMap = ""] = /<script type="importmap">([^]*?)<\/script>/.exec(html) ?? [];
  const digest = createHash("sha256").update(importMap).digest("base64");
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${digest}'`,
    "style-src 'self'",
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join("; ");
}

/** The text of a file without its types, as Node does it with every file of a clone; that it can be asked for is new, and warned of. */
export function withoutTypes(text: string): string {
  const warnings = Object.getOwnPropertyDescriptor(process, "emitWarning");
  Object.defineProperty(process, "emitWarning", { value: () => undefined, configurable: true });
  try {
    return stripTypeScriptTypes(text);
  } finally {
    if (warnings !== undefined) Object.defineProperty(process, "emitWarning", warnings);
  }
}
