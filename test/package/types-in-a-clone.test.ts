// Whoever writes a plugin in a clone has types before anything was built.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { writeFirstSkill } from "../support/first-skill.ts";

const root = resolve(import.meta.dirname, "../..");

test("the README's first skill in a clone has its types from the source, whether or not there is a build", (t) => {
  mkdirSync(join(root, ".holdfast"), { recursive: true });
  const folder = mkdtempSync(join(root, ".holdfast", "types-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFirstSkill(folder);
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: ["holdfast.config.ts", "plugins"] }));
  const check = (): { readonly status: number | null; readonly text: string } => {
    const { status, stdout, stderr } = spawnSync(join(root, "node_modules/.bin/tsc"), ["-p", folder, "--listFiles"], {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, PATH: `${resolve(process.execPath, "..")}:${process.env["PATH"]}` },
    });
    return { status, text: `${stdout}${stderr}` };
  };
  const good = check();
  assert.equal(good.status, 0, good.text);
  assert.match(good.text, /runtime\/index\.ts$/m);
  assert.ok(!good.text.includes(`${join(root, "dist")}/`), good.text);
  writeFileSync(join(folder, "holdfast.config.ts"), 'import { defineConfig } from "holdfast";\nexport default defineConfig({ sources: [{ queue: 5 }] });\n');
  assert.match(check().text, /Type 'number' is not assignable to type 'string'/);
});
