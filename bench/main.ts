/** `npm run bench -- NAME`: runs one bench. Each stands in a folder of its own with a main.ts. */
import { existsSync, globSync } from "node:fs";
import { dirname, join } from "node:path";

const [, , name = "", ...rest] = process.argv;
const main = join(import.meta.dirname, name, "main.ts");

if (!/^[a-z-]+$/.test(name) || !existsSync(main)) {
  const known = globSync("*/main.ts", { cwd: import.meta.dirname }).map((file) => dirname(file));
  process.stderr.write(`expected the name of a bench (${known.sort().join(", ")}), got '${name}'\n`);
  process.exitCode = 2;
} else {
  process.argv.splice(2, process.argv.length, ...rest);
  await import(main);
}
