/**
 * Loaded ahead of everything, in the worker and in each of its threads: what imports the entry of a plugin gets it with stand-ins for its dependencies. The
 * plugin's own files are imported as they are, from where they are, so that places in them are told rightly. The parent hears which packages plugins
 * import: the worker that follows has them loaded.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { extname } from "node:path";
import { isMainThread } from "node:worker_threads";
import { stubsVariable } from "./stubs-variable.ts";

const original = "holdfast-original";
let stubsByEntry: ReadonlyMap<string, string> | undefined;

/** Before a worker begins, no plugin is loaded, and there is no file. */
function stubsFor(url: string): string | undefined {
  stubsByEntry ??= readStubs();
  return stubsByEntry?.get(url);
}

function readStubs(): ReadonlyMap<string, string> | undefined {
  try {
    const said = JSON.parse(readFileSync(process.env[stubsVariable] ?? "", "utf8")) as Readonly<Record<string, string>>;
    return new Map(Object.entries(said));
  } catch {
    return undefined;
  }
}

const installed = "/node_modules/";
const own = new URL("../../", import.meta.url).href;

/** Whether it is a file of the author's: neither of a package nor the runtime's own. */
const isAuthors = (url: string | undefined): boolean => url !== undefined && url.startsWith("file:") && !url.includes(installed) && !url.startsWith(own);

const runtime = (name: string): string => JSON.stringify(new URL(`../../runtime/testing/${name}${extname(import.meta.filename)}`, import.meta.url).href);

function sourceFor(entry: string, stubs: string): string {
  const own = JSON.stringify(`${entry}?${original}`);
  const given = stubs === "" ? "const stubs = [];" : `import stubs from ${JSON.stringify(stubs)};`;
  return `import plugin from ${own};
import { withStubs } from ${runtime("live-stub")};
import { checkStubs } from ${runtime("stubs-file")};
${given}
export * from ${own};
export default withStubs(plugin, checkStubs(${JSON.stringify(stubs)}, stubs));
`;
}

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    if (isMainThread && found.url.includes(installed) && isAuthors(context.parentURL)) process.send?.({ type: "imports", url: found.url });
    return found;
  },
  load(url, context, next) {
    const stubs = stubsFor(url);
    if (stubs === undefined) return next(url, context);
    return { format: "module", shortCircuit: true, source: sourceFor(url, stubs) };
  },
});
