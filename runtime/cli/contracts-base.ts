/** The contracts that others have: those of a folder, or of a commit, whose files are written beside today's for as long as they are read. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { makeFolder } from "../core/make-folder.ts";
import { openRegistry } from "../contracts/read-contracts.ts";
import type { ContractRegistry } from "../contracts/registry.ts";

export interface ContractsBase {
  /** Undefined where there is nothing to compare with. */
  readonly registry: ContractRegistry | undefined;
  /** For people to read. */
  readonly named: string;
}

const outputBytesMax = 256 * 1024 * 1024;

/** `against`: a folder or a git ref; default the last tag, else HEAD, and what was before it where they are what is checked. Throws `ConfigurationError`. */
export async function openBase(folder: string, against: string | undefined): Promise<ContractsBase> {
  if (against !== undefined && statSync(against, { throwIfNoEntry: false })?.isDirectory() === true)
    return { registry: await reading(against, () => openRegistry(resolve(against))), named: against };
  const none = whyNoRepository(folder, against);
  if (none !== undefined) return { registry: undefined, named: `nothing: ${none}` };
  const ref = against ?? defaultRef(folder);
  if (ref === undefined) return { registry: undefined, named: `nothing: ${whyNone(folder)}` };
  const files = filesAt(folder, ref);
  if (files.size === 0) return { registry: undefined, named: `${ref}, which has no contracts` };
  // Modules among them find packages where today's do.
  const place = join(dirname(folder), ".holdfast");
  const { isNew, copy } = makeCopyFolder(place);
  try {
    for (const [path, content] of files) {
      makeFolder(dirname(join(copy, path)));
      writeFileSync(join(copy, path), content);
    }
    return { registry: await reading(ref, () => openRegistry(copy)), named: ref };
  } finally {
    rmSync(copy, { recursive: true, force: true });
    if (isNew) removeEmpty(place);
  }
}

/** Whoever made the place removes it: it may be gone again before anything is in it. Throws `ConfigurationError`. */
function makeCopyFolder(place: string): { readonly isNew: boolean; readonly copy: string } {
  for (;;) {
    let isNew: boolean | undefined;
    try {
      isNew = makeFolder(place);
      return { isNew, copy: mkdtempSync(join(place, "contracts-")) };
    } catch (cause) {
      if (isNew !== undefined && (cause as NodeJS.ErrnoException).code === "ENOENT") continue;
      throw new ConfigurationError(
        `expected a folder at ${place} in which the contracts of before can be written for a while, found ${messageOf(cause, 200)}; mend that, or name a folder of contracts with --against`,
        { cause },
      );
    }
  }
}

/** Another check may be at work in it. */
function removeEmpty(place: string): void {
  try {
    rmdirSync(place);
  } catch {
    return;
  }
}

async function reading<Result>(against: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (cause) {
    throw new ConfigurationError(
      `--against ${against}: expected contracts that can be read there: ${messageOf(cause, 4_000)}; name another ref or folder, and where a module imports from outside of the contracts' folder, put what it imports into _shared/`,
      { cause },
    );
  }
}

function git(folder: string, args: readonly string[], input?: string): Buffer {
  return execFileSync("git", ["-C", folder, ...args], { input, maxBuffer: outputBytesMax, stdio: ["pipe", "pipe", "pipe"] });
}

/** What git says in a line; undefined where it refuses. */
function ask(folder: string, ...args: readonly string[]): string | undefined {
  try {
    return git(folder, args).toString("utf8").trim();
  } catch {
    return undefined;
  }
}

/**
 * Undefined where there is a repository. Throws `ConfigurationError` where there is one that git does not read, as that of another user: compared with nothing,
 * whatever breaks somebody would pass.
 */
function whyNoRepository(folder: string, against: string | undefined): string | undefined {
  const { status, stderr, error } = spawnSync("git", ["-C", folder, "rev-parse", "--git-dir"], { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });
  if (status === 0) return undefined;
  const said = error === undefined ? stderr.trim().split("\n", 1).join("") : error.message;
  const isWithoutGit = error !== undefined && "code" in error && error.code === "ENOENT";
  if (against !== undefined || !(isWithoutGit || /not a git repository/.test(said)))
    throw new ConfigurationError(
      `--against: expected a folder, or a repository around ${folder} that git reads, got '${(against ?? "").slice(0, 100)}' where git said: ${said.slice(0, 300)}; mend that, or name a folder`,
    );
  return isWithoutGit ? "git is not installed" : "there is no commit to compare with";
}

function commitAt(folder: string, ref: string): string | undefined {
  return ask(folder, "rev-parse", "--verify", "--quiet", `${ref}^{commit}`);
}

/** Undefined where there is nothing to compare with: no repository, no commit, or none before the only one. */
function defaultRef(folder: string): string | undefined {
  const lastTag = (from: string): string | undefined => ask(folder, "describe", "--tags", "--abbrev=0", from);
  const head = commitAt(folder, "HEAD");
  if (head === undefined) return undefined;
  const tag = lastTag("HEAD");
  const isHead = tag === undefined || commitAt(folder, tag) === head;
  if (!isHead || ask(folder, "status", "--porcelain", "--", ".") !== "") return tag ?? "HEAD";
  // The commit itself is what is checked: compared with itself nothing would ever be found.
  if (commitAt(folder, "HEAD^") === undefined) return undefined;
  return (tag === undefined ? undefined : lastTag("HEAD^")) ?? "HEAD^";
}

function whyNone(folder: string): string {
  return commitAt(folder, "HEAD") === undefined
    ? "there is no commit to compare with"
    : "there is no commit before this one; where there should be, have CI fetch all of them";
}

/** By path from the folder. */
function filesAt(folder: string, ref: string): ReadonlyMap<string, Buffer> {
  try {
    const commit = git(folder, ["rev-parse", "--verify", "--quiet", `${ref}^{commit}`])
      .toString("utf8")
      .trim();
    const prefix = git(folder, ["rev-parse", "--show-prefix"]).toString("utf8").trim();
    const paths = git(folder, ["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, ...(prefix === "" ? [] : ["--", prefix])])
      .toString("utf8")
      .split("\0")
      .filter((path) => path !== "" && !path.includes("\n"));
    if (paths.length === 0) return new Map();
    const all = git(folder, ["cat-file", "--batch"], paths.map((path) => `${commit}:${path}\n`).join(""));
    return new Map(contentsIn(all).map((content, index) => [relative(prefix, paths[index] ?? ""), content]));
  } catch (cause) {
    throw new ConfigurationError(
      `--against: expected a folder, or a commit, tag or branch of the repository around ${folder}, got '${ref.slice(0, 100)}'; 'git log' and 'git tag' list them`,
      {
        cause,
      },
    );
  }
}

/** Of what `git cat-file --batch` writes: a line that ends with the size, the content, a line break; one after the other. */
function contentsIn(all: Buffer): readonly Buffer[] {
  const contents: Buffer[] = [];
  for (let at = 0; at < all.length;) {
    const end = all.indexOf(10, at);
    const size = Number(all.toString("utf8", at, end).split(" ").at(-1));
    if (!Number.isInteger(size)) throw new RangeError("expected the size of a file");
    contents.push(all.subarray(end + 1, end + 1 + size));
    at = end + 1 + size + 1;
  }
  return contents;
}
