// A package that does not say where it comes from is not published.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";

const root = resolve(import.meta.dirname, "../..");
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly scripts: Readonly<Record<string, string>> };

function asked(t: TestContext, description: object): { readonly status: number | null; readonly stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-publish-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "package.json"), JSON.stringify(description));
  const [, script = ""] = /^node (\S+)$/.exec(scripts["prepublishOnly"] ?? "") ?? [];
  return spawnSync(process.execPath, [join(root, script)], { cwd: folder, encoding: "utf8" });
}

test("npm publish is refused until package.json names its repository", (t) => {
  for (const description of [{}, { repository: "" }, { repository: { type: "git" } }]) {
    const { status, stderr } = asked(t, description);
    assert.equal(status, 2);
    assert.match(stderr, /^holdfast: expected package\.json to name the repository that it is published from, found none; write "repository": .*\n$/);
  }
  for (const repository of ["github:owner/holdfast", { type: "git", url: "git+https://example.com/holdfast.git" }]) {
    const { status, stderr } = asked(t, { repository });
    assert.equal(status, 0, stderr);
  }
});
