// What users read is in plain technical English: standard words, no archaic turns.
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../support/markdown.ts";

/** Each with the words to use instead. */
const turns: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\bcomes? again\b/i, "is redelivered, is retried"],
  [/\b(?:is|are) told\b/i, "is reported, gets"],
  [/\banew\b/i, "again"],
  [/\bwhoever\b/i, "name who it is"],
  [/\bin vain\b/i, "without success"],
  [/\bunasked\b/i, "by default"],
  [/\bat fault\b/i, "the cause"],
  [/\bof (?:no )?use\b/i, "usable, unusable"],
  [/\bwithout a word\b/i, "without an answer, unexpectedly"],
  [/\breckon(?:s|ed)?\b/i, "compute"],
  [/\bforetell\b/i, "predict"],
  [/\bunbegun\b/i, "not started"],
];

function offences(where: string, text: string): string[] {
  return turns.flatMap(([pattern, instead]) => {
    const found = pattern.exec(text);
    return found === null ? [] : [`${where}: '${found[0]}'; say: ${instead}`];
  });
}

test("the documents use standard words", () => {
  const documents = globSync(["*.md", "{runtime,handlers,load,bench,test,deploy}/**/*.md"], { cwd: root });
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
