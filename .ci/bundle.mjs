// Joins the modules of runtime/ and load/ under dist/ into chunks, so that a worker that starts reads a fourth of the files. A chunk holds what the same entries load: none
// loads what it did not before. A module is in one chunk alone, so there is one of each class and one of each module's state. What is installed beside us stays outside.
// Entries keep their places, and `import.meta` says in a chunk what it said in the module, for scripts, manifests and threads are found beside that.
// The plugins of handlers/ and the live page stay as they are: places in plugins are told, and browsers load the page.
import { globSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { rollup } from "rollup";

/** What the package exports, what starts a process or a thread, and what is imported by a URL. What is missing here is missing in dist/. */
export const entries = [
  "load/broker/index",
  "load/broker/main",
  "load/dev/plugin-worker",
  "load/dev/ready-for-types",
  "load/dev/stubs-preload",
  "load/stand-ins/main",
  "runtime/adapters/sqlite/thread",
  "runtime/adapters/threads/entry-thread",
  "runtime/cli/main",
  "runtime/index",
  "runtime/postgres/index",
  "runtime/skills/built-in/probe",
  "runtime/skills/host/probe-thread",
  "runtime/skills/host/thrown-place-thread",
  "runtime/testing/index",
  "runtime/testing/live-stub",
  "runtime/testing/outside-thread",
  "runtime/testing/stubs-file",
];
/** They do something by being imported, which `sideEffects` in package.json says by their names: each is a chunk of its own. */
const effective = ["refuse-old-node", "require-node"];
const page = "runtime/admin/page/";

const posix = (path) => path.replaceAll(sep, "/");

/** Changes in place what tsc has emitted. */
export async function bundle(dist) {
  const modules = globSync("{runtime,load}/**/*.js", { cwd: dist }).filter((file) => !posix(file).startsWith(page));
  const bundled = await rollup({
    input: Object.fromEntries(entries.map((entry) => [entry, join(dist, `${entry}.js`)])),
    preserveEntrySignatures: "strict",
    // Whatever a module does while it is loaded, it goes on doing.
    treeshake: false,
    plugins: [ownPlaces(dist)],
    onwarn({ code, message }) {
      // That is in a helper of tsc's, which is written for scripts as well.
      if (code !== "THIS_IS_UNDEFINED") throw new Error(message);
    },
  });
  const { output } = await bundled.generate({
    format: "es",
    dir: dist,
    entryFileNames: "[name].js",
    // Within runtime/, for that is how a stack's frames are told from an author's.
    chunkFileNames: "runtime/bundle/[name]-[hash].js",
    manualChunks: (id) => effective.find((name) => basename(id) === `${name}.js`),
    onlyExplicitManualChunks: true,
    hoistTransitiveImports: false,
    minifyInternalExports: false,
    generatedCode: { constBindings: true },
  });
  await bundled.close();
  for (const file of modules) rmSync(join(dist, file));
  for (const { fileName, code } of output) {
    mkdirSync(dirname(join(dist, fileName)), { recursive: true });
    writeFileSync(join(dist, fileName), inLatin1(code));
  }
}

/** V8 keeps a text in two bytes a character as soon as one of them is beyond Latin 1, which a chunk has sooner than a module. Such ones are in strings and patterns alone. */
function inLatin1(code) {
  const [raw] = /String\.raw`[^`]*[^\0-\u00ff`]/.exec(code) ?? [];
  if (raw !== undefined) throw new Error(`expected Latin 1 in String.raw, where an escape is not what it stands for, found ${raw}`);
  return code.replaceAll(/[^\0-\u00ff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function ownPlaces(dist) {
  return {
    name: "own-places",
    resolveId(name, importer) {
      if (importer === undefined) return name;
      const [, own] = /^#(.*)\.ts$/.exec(name) ?? [];
      if (own !== undefined) return join(dist, `${own}.js`);
      return name.startsWith(".") ? resolve(dirname(importer), name) : { id: name, external: true };
    },
    resolveImportMeta(property, { moduleId, chunkId }) {
      const from = dirname(join(dist, chunkId));
      const file = JSON.stringify(posix(relative(from, moduleId)));
      const folder = JSON.stringify(posix(relative(from, dirname(moduleId))));
      if (join(dist, chunkId) === moduleId) return undefined;
      if (property === "url") return `new URL(${file}, import.meta.url).href`;
      if (property === "filename") return `process.getBuiltinModule("node:path").join(import.meta.dirname, ${file})`;
      if (property === "dirname") return `process.getBuiltinModule("node:path").join(import.meta.dirname, ${folder})`;
      return undefined;
    },
  };
}
