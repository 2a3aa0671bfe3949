// `npm test`: static checks, then every test under node's own runner, on a real Redis.
import "#runtime/cli/require-node.ts";
import { spawn, spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { enableCompileCache, getCompileCacheDir } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { startRedis } from "./support/redis-server.ts";

const root = resolve(import.meta.dirname, "..");

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env });
    child.on("close", (code) => done(code ?? 1));
  });
}

/** The static checks, as `npm run check` has them. */
function check(): void {
  const result = spawnSync("npm", ["run", "--silent", "check"], { cwd: root, stdio: "inherit" });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

const patterns = process.argv.slice(2);
if (patterns.length === 0) check();

const redis = process.env["REDIS_URL"] === undefined ? await startRedis() : undefined;
try {
  const files = patterns.length > 0 ? patterns : globSync("test/**/*.test.ts", { cwd: root }).sort();
  // Each file of tests is a process of its own, and they load the same modules: they share what Node makes of those.
  enableCompileCache();
  const env = { ...process.env, NODE_COMPILE_CACHE: getCompileCacheDir(), REDIS_URL: redis?.url ?? process.env["REDIS_URL"] };
  const limit = `--import=${pathToFileURL(resolve(root, "test/support/file-limit.ts")).href}`;
  process.exitCode = await run(process.execPath, [limit, "--test", "--test-concurrency=3", "--test-timeout=120000", "--test-reporter=spec", ...files], env);
} finally {
  await redis?.stop();
}
