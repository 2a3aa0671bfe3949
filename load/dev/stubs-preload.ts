/**
 * Loaded ahead of everything, in the worker and in each of its threads: what imports the entry of a plugin gets it with stand-ins for its dependencies. The
 * plugin's own files are imported as they are, from where they are, so that places in them are told rightly.
 */
import { registerHooks } from "node:module";
import { extname } from "node:path";
import { stubsVariable } from "./stubs-variable.ts";

const original = "holdfast-original";
let stubsByEntry: ReadonlyMap<string, string> | undefined;

/** A worker that waits learns of them when it begins. */
function stubsFor(url: string): string | undefined {
  const said = process.env[stubsVariable];
  if (said === undefined) return undefined;
  stubsByEntry ??= new Map(Object.entries(JSON.parse(said) as Readonly<Record<string, string>>));
  return stubsByEntry.get(url);
}

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
  load(url, context, next) {
    const stubs = stubsFor(url);
    if (stubs === undefined) return next(url, context);
    return { format: "module", shortCircuit: true, source: sourceFor(url, stubs) };
  },
});
