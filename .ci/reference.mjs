// `npm run reference`: writes the reference of the public entry points into dist/reference, from the docstrings of the code. An export without one, or a link that leads nowhere, fails it.
// typedoc reads TypeScript 6 and the project is compiled by 7, so it has a folder and a lock file of its own, and is installed there when it is first wanted.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dirname, "reference");
const lock = join(folder, "package-lock.json");
const stamp = join(folder, "node_modules", ".holdfast-setup");

function run(command, args, remedy) {
  const { status } = spawnSync(command, args, { cwd: folder, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (status === 0) return;
  process.stderr.write(`holdfast: expected '${[command, ...args].join(" ")}' in ${folder} to succeed, it ended with ${status}; ${remedy}\n`);
  process.exit(1);
}

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== readFileSync(lock, "utf8")) {
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"], "see its output above");
  copyFileSync(lock, stamp);
}
run(process.execPath, [join(folder, "node_modules", "typedoc", "bin", "typedoc")], "mend the docstrings that it names");
