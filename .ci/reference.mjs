// `npm run reference`: writes the reference of the public entry points into dist/reference, from the docstrings of the code. An export without one, or a link that leads nowhere, fails it.
// typedoc reads TypeScript 6 and the project is compiled by 7, so it has a folder and a lock file of its own, and is installed there when it is first wanted.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const usage = `usage: npm run reference [-- --help]

Writes the reference of the public entry points into dist/reference, as HTML. The first time, and when its lock file has changed, it installs
typedoc into .ci/reference/node_modules. An export without a docstring, or a link that leads nowhere, fails it.
`;

const others = process.argv.slice(2);
if (others.length > 0) {
  const isHelp = others.every((argument) => argument === "--help" || argument === "-h");
  process[isHelp ? "stdout" : "stderr"].write(isHelp ? usage : `holdfast: expected no arguments but --help, found '${others.join(" ")}'\n${usage}`);
  process.exit(isHelp ? 0 : 2);
}

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
  process.stderr.write(`holdfast: installing typedoc into ${join(folder, "node_modules")}, once\n`);
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"], "see its output above");
  copyFileSync(lock, stamp);
}
process.stderr.write("holdfast: writing the reference into dist/reference\n");
run(process.execPath, [join(folder, "node_modules", "typedoc", "bin", "typedoc")], "mend the docstrings that it names");
