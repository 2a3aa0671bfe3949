// Makes a fresh clone ready: installs what the lock file names when it is not there yet. Runs on any Node >= 20,
// before the project's own Node 24 exists; safe when two commands start at the same time.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, "node_modules", ".holdfast-setup");
const lock = join(root, ".holdfast", "setup.lock");
const wanted = readFileSync(join(root, "package-lock.json"), "utf8");
const staleLockMs = 15 * 60_000;

const nodeMajorMin = 20;
if (Number(process.versions.node.split(".")[0]) < nodeMajorMin) {
  process.stderr.write(`holdfast: expected Node ${nodeMajorMin} or later to set the project up, found ${process.versions.node}; install a newer Node\n`);
  process.exit(2);
}

const isReady = () => existsSync(stamp) && readFileSync(stamp, "utf8") === wanted;

function tryLock() {
  mkdirSync(dirname(lock), { recursive: true });
  try {
    mkdirSync(lock);
    return true;
  } catch {
    const heldForMs = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (heldForMs > staleLockMs) rmSync(lock, { recursive: true, force: true });
    return false;
  }
}

function install() {
  process.stderr.write("holdfast: installing dependencies (once)\n");
  // Not `npm ci`: it insists on lock entries for the optional binaries of every other platform, which not every registry
  // mirror carries. `install` takes the locked versions all the same, and leaves the lock file as it is.
  const done = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (done.status !== 0) {
    process.stderr.write("holdfast: expected `npm install` to succeed; see its output above\n");
    process.exit(done.status ?? 1);
  }
  refuseWithoutOwnNode();
  // Compiled here once, they need not be compiled when a worker first starts; without them it does so itself.
  const node = join(root, "node_modules", ".bin", "node");
  const compile = 'import { loadSchemas } from "./handlers/artifact-validator/schemas.ts"; loadSchemas();';
  spawnSync(node, ["--input-type=module", "--eval", compile], { cwd: root, stdio: ["ignore", 2, 2] });
  writeFileSync(stamp, wanted);
}

/** npm puts node_modules/.bin first: what runs after this is the project's own Node, if npm was let to fetch it. */
function refuseWithoutOwnNode() {
  const own = join(root, "node_modules", ".bin", process.platform === "win32" ? "node.cmd" : "node");
  const asked = spawnSync(own, ["--version"], { encoding: "utf8", shell: process.platform === "win32" });
  if (asked.status === 0) return;
  process.stderr.write(
    "holdfast: expected npm to bring the project's own Node, found that it did not start; let npm run install scripts (npm config set ignore-scripts false) and try again\n",
  );
  process.exit(1);
}

while (!isReady()) {
  if (!tryLock()) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
    continue;
  }
  try {
    if (!isReady()) install();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}
