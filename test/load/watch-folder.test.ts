import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { watchFolder } from "#load/dev/watch-folder.ts";

interface Watched {
  readonly folder: string;
  /** Does it, and resolves when the file was told of since; rejects where it was not in time. */
  readonly heardAfter: (act: () => void, file: string) => Promise<void>;
}

function watched(t: TestContext): Watched {
  const above = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  const folder = join(above, "greeter");
  mkdirSync(join(folder, "parts"), { recursive: true });
  for (const file of ["index.ts", "parts/text.ts"]) writeFileSync(join(folder, file), "");
  const waiting = new Map<string, () => void>();
  const watching = watchFolder(folder, (file) => waiting.get(file)?.());
  t.after(() => {
    watching.close();
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
  const { folder, heardAfter } = watched(t);
  for (const file of ["index.ts", "parts/text.ts"]) {
    const path = join(folder, file);
    for (const save of [replace, replace, (one: string) => writeFileSync(one, "in place")]) await heardAfter(() => save(path), file);
  }
});

test("a folder that is made later is watched, and so is one that is taken away and made again", async (t) => {
  const { folder, heardAfter } = watched(t);
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

test("a folder that cannot be watched is named, with what to do", () => {
  assert.throws(() => watchFolder("/nowhere/greeter", () => undefined), {
    name: "ConfigurationError",
    message: /^--watch: expected to watch \/nowhere, found ENOENT.*; where it is the system's limit, raise it/,
  });
});
