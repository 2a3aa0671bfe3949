import { strict as assert } from "node:assert";
import fs, { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { type TestContext, test } from "node:test";
import { watchFiles } from "#load/dev/watch-files.ts";

interface Watched {
  readonly folder: string;
  /** Does it, and resolves when the file was told of since; rejects where it was not in time. */
  readonly heardAfter: (act: () => void, file: string) => Promise<void>;
}

async function watched(t: TestContext): Promise<Watched> {
  const above = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  const folder = join(above, "greeter");
  mkdirSync(join(folder, "parts"), { recursive: true });
  for (const file of ["index.ts", "parts/text.ts", "parts/text.test.ts"]) writeFileSync(join(folder, file), "");
  const waiting = new Map<string, () => void>();
  const isWanted = (path: string): boolean => !path.endsWith(".test.ts");
  const watching = await watchFiles(
    { folders: [folder], files: [join(above, "own.json")], isWanted },
    {
      saved(path) {
        assert.ok(!path.endsWith(".test.ts"), path);
        waiting.get(relative(folder, path))?.();
      },
      failed: assert.ifError,
    },
  );
  t.after(async () => {
    await watching.close();
    rmSync(above, { recursive: true });
  });
  const heard = async (file: string, act: () => void): Promise<void> => {
    const told = Promise.withResolvers<void>();
    waiting.set(file, told.resolve);
    const late = setTimeout(() => told.reject(new Error(`expected to hear of ${file}`)), 5_000);
    try {
      act();
      await told.promise;
    } finally {
      clearTimeout(late);
      waiting.delete(file);
    }
  };
  let marks = 0;
  return {
    folder,
    async heardAfter(act, file) {
      await heard(file, act);
      // One save is heard of several times; they come in order, so that behind this file there is nothing left of it.
      const mark = `mark-${marks++}`;
      await heard(mark, () => writeFileSync(join(folder, mark), ""));
    },
  };
}

/** As many editors save: a new file in the place of the old one. */
function replace(file: string): void {
  writeFileSync(`${file}~`, "new");
  renameSync(`${file}~`, file);
}

test("a file that is replaced by a new one is heard of with every save, also in a folder below", async (t) => {
  const { folder, heardAfter } = await watched(t);
  for (const file of ["index.ts", "parts/text.ts", "../own.json"]) {
    const path = join(folder, file);
    replace(join(folder, "parts/text.test.ts"));
    for (const save of [replace, replace, (one: string) => writeFileSync(one, "in place")]) await heardAfter(() => save(path), file);
  }
});

test("a folder that is made later is watched, and so is one that is taken away and made again", async (t) => {
  const { folder, heardAfter } = await watched(t);
  const later = join(folder, "later");
  await heardAfter(() => {
    mkdirSync(later);
    writeFileSync(join(later, "one.ts"), "");
  }, "later/one.ts");
  await heardAfter(() => replace(join(later, "one.ts")), "later/one.ts");
  await heardAfter(() => {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    writeFileSync(join(folder, "index.ts"), "back");
  }, "index.ts");
  await heardAfter(() => replace(join(folder, "index.ts")), "index.ts");
});

test("what cannot be watched is named, with what to do", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  t.after(() => rmSync(folder, { recursive: true }));
  t.mock.method(fs, "watch", () => {
    throw Object.assign(new Error("ENOSPC: System limit for number of file watchers reached"), { code: "ENOSPC" });
  });
  syncBuiltinESMExports();
  await assert.rejects(watchFiles({ folders: [folder] }, { saved: assert.fail, failed: assert.ifError }), {
    name: "ConfigurationError",
    message: /^--watch: expected to watch .*holdfast-watch-.*, found ENOSPC.*; where it is the system's limit, raise it/,
  });
});
