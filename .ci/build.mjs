// `npm run build`: JavaScript and declarations under dist/, with what the code reads beside itself (scripts, manifests).
// dist/ gets a package.json of its own, so that the subpath imports, which name .ts files, lead to the built ones there.
import { spawnSync } from "node:child_process";
import { cpSync, globSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundle } from "./bundle.mjs";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");

rmSync(dist, { recursive: true, force: true });
// The live page runs in browsers, which know other things than Node does: it is a project of its own.
for (const options of [
  ["-p", "tsconfig.build.json", "--emitDeclarationOnly"],
  // Node keeps the text of what it has loaded, in each thread: comments are for editors, which read declarations.
  ["-p", "tsconfig.build.json", "--declaration", "false", "--isolatedDeclarations", "false", "--removeComments"],
  ["-p", "runtime/admin/page/tsconfig.build.json"],
]) {
  const compiled = spawnSync(join(root, "node_modules", ".bin", "tsc"), options, { cwd: root, stdio: "inherit" });
  if (compiled.status !== 0) process.exit(compiled.status ?? 1);
}
await bundle(dist);

for (const asset of globSync("{runtime,handlers,load}/**/*.{json,lua,html,css}", { cwd: root })) cpSync(join(root, asset), join(dist, asset));
const imports = Object.fromEntries(["runtime", "load", "handlers"].map((layer) => [`#${layer}/*.ts`, `./${layer}/*.js`]));
writeFileSync(join(dist, "package.json"), `${JSON.stringify({ type: "module", imports }, undefined, 2)}\n`);
