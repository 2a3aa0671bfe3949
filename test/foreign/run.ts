// `npm run test:foreign`: the engine and the broker against implementations of others. Run it by hand whenever one of the
// two changes; it is no part of `npm test`, because the peers come from Debian packages.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join, resolve } from "node:path";
import { installPackages } from "./packages.ts";

const root = resolve(import.meta.dirname, "../..");
const patterns = process.argv.slice(2);
const advice = installPackages();
if (advice === undefined) {
  const files = patterns.length > 0 ? patterns : globSync("test/foreign/*.foreign.ts", { cwd: root }).sort();
  const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=1", "--test-timeout=180000", "--test-reporter=spec", ...files.map((file) => join(root, file))], { cwd: root, stdio: "inherit" });
  process.exitCode = status ?? 1;
} else {
  process.stderr.write(advice);
  process.exitCode = 1;
}
