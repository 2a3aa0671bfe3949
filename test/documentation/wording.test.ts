// What users read is in plain technical English: standard words, no archaic turns.
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../support/markdown.ts";

/** What stands nowhere, in no comment either. */
const archaic: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\banew\b/i, "again; rewritten, rebuilt, starts over"],
  [/\bin the midst\b/i, "in the middle"],
  [/(?<!\()\bof late\b(?!\))/i, "lately"],
  [/\bin vain\b/i, "without success"],
  [/\bunasked\b/i, "by default, by itself"],
  [/\bforetell\b/i, "predict"],
  [/\breckon(?:s|ed)?\b/i, "compute"],
  [/\b(?:ere|whereof|whence|hither|thereby|therein|albeit|for naught)\b/, "today's words"],
  [/\b(?:by design of|what serves|be that as)\b/i, "today's words"],
];

/** Each with the words to use instead. */
const turns: typeof archaic = [
  ...archaic,
  [/\bcomes? again\b/i, "is redelivered, is retried"],
  [/\b(?:is|are) told\b/i, "is reported, gets"],
  [/\bwhoever\b/i, "name who it is"],
  [/\bat fault\b/i, "the cause"],
  [/\bof (?:no )?use\b/i, "usable, unusable"],
  [/\bwithout a word\b/i, "without an answer, unexpectedly"],
  [/\bunbegun\b/i, "not started"],
];

function offences(where: string, text: string, of: typeof turns = turns): string[] {
  return of.flatMap(([pattern, instead]) => {
    const found = pattern.exec(text);
    return found === null ? [] : [`${where}: '${found[0]}'; say: ${instead}`];
  });
}

test("the documents use standard words", () => {
  const documents = globSync(["*.md", ".ci/*.md", ".github/workflows/*.md", "{runtime,handlers,load,bench,test,deploy}/**/*.md"], { cwd: root });
  assert.deepEqual(
    documents.flatMap((file) => offences(file, readFileSync(join(root, file), "utf8"))),
    [],
  );
});

test("errors, descriptions and help use standard words", () => {
  const files = globSync("{runtime,handlers,load,bench}/**/*.ts", { cwd: root });
  const wrong = files.flatMap((file) => {
    const code = readFileSync(join(root, file), "utf8").replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, "");
    // A string that is read by people has several words.
    const texts = code.match(/"[^"\n]* [^"\n]*"|`[^`]* [^`]*`/g) ?? [];
    return texts.flatMap((text) => offences(file, text));
  });
  assert.deepEqual(wrong, []);
});

test("comments use the words of today", () => {
  const files = globSync("{runtime,handlers,load,bench,test,deploy}/**/*.{ts,mts,lua,css,html}", { cwd: root });
  const wrong = files
    .filter((file) => file !== join("test", "documentation", "wording.test.ts"))
    .flatMap((file) =>
      readFileSync(join(root, file), "utf8")
        .split("\n")
        .flatMap((line, index) => offences(`${file}:${index + 1}`, line, archaic)),
    );
  assert.deepEqual(wrong, []);
});
