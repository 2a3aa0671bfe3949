/** The packages that only a trial needs: the installed package comes without them, for a worker has no use for ten megabytes of examples. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigurationError } from "#runtime/core/errors.ts";

export const packagesOfTrials: readonly string[] = ["@octokit/webhooks-examples", "@octokit/webhooks-schemas", "log-update"];

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** The versions that this release was tried with. */
function versionsTried(): Readonly<Record<string, string>> {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (!existsSync(file)) continue;
    const { name, devDependencies } = JSON.parse(readFileSync(file, "utf8")) as {
      readonly name?: string;
      readonly devDependencies?: Readonly<Record<string, string>>;
    };
    if (name === "holdfast") return devDependencies ?? {};
  }
  return {};
}

/** Throws `ConfigurationError` that says what to install. */
export function checkPackagesOfTrials(): void {
  const missing = packagesOfTrials.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  const versions = versionsTried();
  const wanted = missing.map((name) => `'${name}@${versions[name] ?? "latest"}'`).join(" ");
  throw new ConfigurationError(
    `dev: expected packages that only this command needs, found no ${missing.join(", no ")}; run \`npm install --save-dev ${wanted}\` where holdfast is installed`,
  );
}
