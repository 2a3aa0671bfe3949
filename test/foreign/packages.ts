// The Debian packages that bring the foreign peers: installed where that may be done, named where it may not.
import { spawnSync } from "node:child_process";

const packages = ["rabbitmq-server", "python3-qpid-proton", "python3-azure"];

/** The system's Python, which is where Debian's packages go. */
export const python = "/usr/bin/python3";

function isInstalled(name: string): boolean {
  const { status, stdout } = spawnSync("dpkg-query", ["--show", "--showformat=${Status}", name], { encoding: "utf8" });
  return status === 0 && stdout.includes("install ok installed");
}

function apt(...args: readonly string[]): boolean {
  // At run level 1 no package starts the service that it brings.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  return spawnSync("apt-get", args, { stdio: ["ignore", 2, 2], env }).status === 0;
}

/** Returns what is to be done by hand; undefined when everything is there. */
export function installPackages(): string | undefined {
  const missing = packages.filter((name) => !isInstalled(name));
  if (missing.length === 0) return undefined;
  const advice = `expected the Debian packages ${missing.join(", ")}; install them with\n  sudo apt-get install --no-install-recommends ${missing.join(" ")}\n`;
  if (process.getuid?.() !== 0) return advice;
  process.stderr.write(`installing ${missing.join(", ")} (once)\n`);
  return apt("update", "--quiet") && apt("install", "--quiet", "--yes", "--no-install-recommends", ...missing) ? undefined : advice;
}
