// `npm run test:image`: builds the image from its own Dockerfile and runs it, without a registry or a daemon: buildah takes the steps
// in a chroot, on a Debian that is bootstrapped from Debian's packages, with this project's Node and npm in the place of the base's.
// It is no part of `npm test`, because it needs Debian and root, and some minutes.
import "#runtime/cli/require-node.ts";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { readmeBlock, writeFirstSkill } from "../support/first-skill.ts";
import type { BuiltImage } from "./container.ts";

const root = resolve(import.meta.dirname, "../..");
/** Each command with the package of Debian's that has it. */
const tools: Readonly<Record<string, string>> = { buildah: "buildah", mmdebstrap: "mmdebstrap", unshare: "util-linux", nsenter: "util-linux" };
const exitUsage = 2;

function say(text: string): void {
  process.stdout.write(`test:image: ${text}\n`);
}

/** Ends the process where an image cannot be built. */
function checkMachine(): void {
  const isDebian = process.platform === "linux" && existsSync("/etc/debian_version");
  if (!isDebian || process.getuid?.() !== 0) {
    say(
      `expected Debian, and root, to bootstrap a base and to enter a chroot; found ${isDebian ? "Debian" : process.platform}, user ${process.getuid?.() ?? "unknown"}; run it there as root`,
    );
    process.exit(exitUsage);
  }
  const missing = Object.entries(tools).filter(([command]) => spawnSync("sh", ["-c", `command -v ${command}`]).status !== 0);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  say(`installing ${packages.join(", ")}`);
  const installed = spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], { stdio: ["ignore", "ignore", "inherit"] });
  if (installed.status === 0) return;
  say(`expected to install ${packages.join(", ")} with apt-get, it failed; install them by hand`);
  process.exit(exitUsage);
}

function must(command: string, args: readonly string[], options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {}): string {
  const { status, stdout, stderr }: SpawnSyncReturns<string> = spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024, ...options });
  if (status !== 0) throw new Error(`expected '${command} ${args.slice(0, 8).join(" ")} …' to succeed, it ended with ${status}:\n${stdout}${stderr}`);
  return stdout.trim();
}

/** What `node:24-slim` is, from Debian's packages: a small Debian with Node and npm. */
function bootstrap(folder: string): void {
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "stable";
  must("mmdebstrap", ["--variant=minbase", "--include=ca-certificates", codename, folder]);
  const local = join(folder, "usr/local");
  copyFileSync(process.execPath, join(local, "bin/node"));
  chmodSync(join(local, "bin/node"), 0o755);
  const npm = dirname(dirname(realpathSync(must("sh", ["-c", "command -v npm"]))));
  cpSync(npm, join(local, "lib/node_modules/npm"), { recursive: true, dereference: true });
  symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(local, "bin/npm"));
  // The registry and the authorities that this machine trusts.
  const authorities = "/etc/ssl/certs/ca-certificates.crt";
  if (existsSync(authorities)) copyFileSync(authorities, join(folder, authorities));
  mkdirSync(join(local, "etc"), { recursive: true });
  writeFileSync(join(local, "etc/npmrc"), `registry=${must("npm", ["config", "get", "registry"])}\ncafile=${authorities}\nprefer-offline=true\n`);
}

/** Builds base, image, and the image that the README makes of it; mounts the last. */
function build(work: string): BuiltImage {
  const env = { ...process.env, TMPDIR: work };
  const buildah = (...args: string[]): string =>
    must("buildah", ["--root", join(work, "storage"), "--runroot", join(work, "run"), "--storage-driver", "vfs", ...args], { env });
  const bud = (tag: string, dockerfile: string, context: string, ...args: string[]): string =>
    buildah("bud", "--isolation", "chroot", "--format", "docker", "--pull-never", ...args, "--file", dockerfile, "--tag", tag, context);
  say("bootstrapping a Debian");
  const base = join(work, "base");
  bootstrap(base);
  const container = buildah("from", "scratch");
  buildah("add", "--quiet", container, base, "/");
  buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container);
  buildah("commit", "--quiet", "--rm", container, "localhost/base");
  rmSync(base, { recursive: true });
  say("building deploy/Dockerfile");
  const cache = must("npm", ["config", "get", "cache"]);
  mkdirSync(cache, { recursive: true });
  bud("holdfast", join(root, "deploy/Dockerfile"), root, "--build-arg", "BASE=localhost/base", "--volume", `${cache}:/root/.npm`);
  say("building the README's image with its first skill");
  const context = join(work, "context");
  writeFirstSkill(context);
  writeFileSync(join(context, "Dockerfile"), readmeBlock("FROM holdfast", "dockerfile"));
  bud("pool", join(context, "Dockerfile"), context);
  const { Docker } = JSON.parse(buildah("inspect", "--type", "image", "pool")) as { readonly Docker: { readonly config: BuiltImage["config"] } };
  return { root: buildah("mount", buildah("from", "--pull-never", "pool")), config: Docker.config };
}

checkMachine();
const work = mkdtempSync(join(tmpdir(), "holdfast-image-"));
try {
  const image = build(work);
  const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=spec", "--test-timeout=120000", "test/image/worker.image.ts"], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, HOLDFAST_TEST_IMAGE: JSON.stringify(image) },
  });
  process.exitCode = status ?? 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
